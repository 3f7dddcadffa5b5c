//! Evaluation on the processor: the only room that knows both the memory of tensors and the kernels.

mod batches;
mod bytes;
mod cast;
mod conv;
mod create;
mod cross_entropy;
mod ctc;
mod draw;
mod elementwise;
mod index;
mod join;
mod matmul;
mod norm;
mod pool;
mod raw;
mod recurrent;
mod reduce;
mod scan;
mod select;
mod softmax;
mod sort;
mod step;
mod view;

pub(crate) use cast::cast_raw;
