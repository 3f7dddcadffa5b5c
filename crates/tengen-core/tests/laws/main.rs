//! The laws that every operator obeys, and the operators held to them.

mod elementwise;
mod harness;
mod norm;
mod pool;
mod product;
mod reduce;
mod registry;
mod view;
