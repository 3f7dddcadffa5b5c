use tengen::nn::{Linear, Module};

#[derive(Module)]
#[module(flat)]
struct Wrong {
    fc: Linear,
}

#[derive(Module)]
struct WrongField {
    #[module(ignore)]
    fc: Linear,
}

fn main() {}
