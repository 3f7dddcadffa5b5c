use tengen::nn::{Linear, Module};

#[derive(Module)]
struct Blocks {
    blocks: Vec<Linear>,
    width: usize,
}

fn main() {}
