//! The laws that every operator obeys, and the operators held to them.

mod elementwise;
mod harness;
mod product;
mod reduce;
mod registry;
mod view;
