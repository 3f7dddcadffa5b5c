//! Runs one small operator so often: `small_ops NAME COUNT`; without arguments, lists the names.
//!
//! What counts here is the path from the call to the kernel and back, not the kernel;
//! `benches/instructions` counts its instructions.

use std::hint::black_box;
use tengen_core::{Error, ErrorKind, GradManager, Result, Tensor, Var, ops};

/// An operator on operands of its own.
type Run = Box<dyn FnMut() -> Result<()>>;

fn numbers(shape: &[usize]) -> Result<Tensor> {
    let n: usize = shape.iter().product();
    let v: Vec<f32> = (0..n).map(|i| (i * 37 % 23) as f32 / 7.0 - 1.5).collect();
    Tensor::from_slice(&v, shape)
}

fn keep(y: Result<Tensor>) -> Result<()> {
    y.map(|y| _ = black_box(y))
}

const NAMES: [&str; 8] = [
    "add_3",
    "add_broadcast_4x3",
    "forward_backward_3",
    "matmul_4x4",
    "reshape_3x4",
    "sum_3x4",
    "conv2d_1x2x5x5",
    "softmax_2x5",
];

fn operator(name: &str) -> Result<Run> {
    let three = numbers(&[3])?;
    let square = numbers(&[4, 4])?;
    let table = numbers(&[3, 4])?;
    Ok(match name {
        "add_3" => Box::new(move || keep(ops::add(&three, &three))),
        "add_broadcast_4x3" => {
            let x = numbers(&[4, 3])?;
            Box::new(move || keep(ops::add(&x, &three)))
        }
        "forward_backward_3" => {
            let x = Var::new(three);
            let mut gm = GradManager::new();
            gm.attach_all([&x])?;
            Box::new(move || {
                gm.record()?;
                let x = x.get();
                let y = ops::sum(&ops::mul(&x, &x)?, None, false)?;
                gm.backward(&y)
            })
        }
        "matmul_4x4" => Box::new(move || keep(ops::matmul(&square, &square, false, false))),
        "reshape_3x4" => Box::new(move || keep(ops::reshape(&table, &[4, 3]))),
        "sum_3x4" => Box::new(move || keep(ops::sum(&table, Some(&[1]), false))),
        "conv2d_1x2x5x5" => {
            let (x, w) = (numbers(&[1, 2, 5, 5])?, numbers(&[3, 2, 3, 3])?);
            let p = ops::ConvParams::default();
            Box::new(move || keep(ops::conv2d(&x, &w, None, p)))
        }
        "softmax_2x5" => {
            let x = numbers(&[2, 5])?;
            Box::new(move || keep(ops::softmax(&x, 1)))
        }
        _ => {
            let message =
                format!("small_ops: no operator {name:?}; without a name, they are listed");
            return Err(Error::new(ErrorKind::Value, message));
        }
    })
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), count) = (arguments.next(), arguments.next()) else {
        NAMES.iter().for_each(|name| println!("{name}"));
        return Ok(());
    };
    let count = count.and_then(|n| n.parse::<usize>().ok()).unwrap_or(1);
    let mut run = operator(&name)?;
    (0..count).try_for_each(|_| run())
}
