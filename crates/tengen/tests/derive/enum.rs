use tengen::nn::{Linear, Module};

#[derive(Module)]
enum Head {
    Classes(Linear),
    Nothing,
}

fn main() {}
