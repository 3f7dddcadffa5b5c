//! The laws that every operator obeys, and the operators held to them.

mod bytes;
mod create;
mod device;
mod elementwise;
mod half;
mod harness;
mod index;
mod join;
mod labels;
mod loss;
mod norm;
mod numbers;
mod pool;
mod product;
mod recurrent;
mod reduce;
mod registry;
mod scan;
mod sort;
mod view;
