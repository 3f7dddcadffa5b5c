//! Graphs of many operators, forwards and backwards.

use super::{floats, numbers};
use tengen_core::graph::Graph;
use tengen_core::op::Meta;
use tengen_core::ops::{self, *};
use tengen_core::{DType, GradManager, Result, Tensor, Var};

type F = fn(&[Tensor]) -> Result<Tensor>;

fn ints(dims: &[usize]) -> Meta {
    Meta { dtype: DType::I32, ..floats(dims) }
}

/// A tensor for an input: zeros of integers, which are valid as indices and labels.
pub fn input(meta: Meta) -> Tensor {
    match meta.dtype.is_float() {
        true => numbers(meta, 5),
        false => Tensor::zeros(&meta.shape, meta.dtype).unwrap(),
    }
}

fn functions() -> Vec<(&'static str, F, Vec<Meta>)> {
    let x = || floats(&[2, 3, 4]);
    let image = || floats(&[1, 4, 6, 6]);
    let weights = |gates| RecurrentParams::new(3, 2).weights_len(gates).unwrap();
    vec![
        ("activations", |x| silu(&relu(&leaky_relu(&clip(&x[0], -1.0, 2.0)?, 0.1)?)?), vec![x()]),
        (
            "arithmetic",
            |x| div(&add(&mul(&x[0], &x[1])?, &x[1])?, &exp(&x[0])?),
            vec![x(), floats(&[4])],
        ),
        ("prelu", |x| prelu(&x[0], &x[1]), vec![image(), floats(&[4])]),
        ("tests", |x| select(&less(&x[0], &x[1])?, &x[0], &tanh(&x[1])?), vec![x(), x()]),
        ("cast", |x| cast(&x[0], DType::F64), vec![x()]),
        (
            "views",
            |x| {
                let y = transpose(&reshape(&x[0], &[4, 6])?, &[1, 0])?;
                broadcast_to(&expand_dims(&y, &[0])?, &tengen_core::Shape::new(&[2, 6, 4])?)
            },
            vec![x()],
        ),
        ("join", |x| concat(&[&split(&x[0], 2, 2)?[1], &x[0]], -1), vec![x()]),
        ("pad", |x| pad(&x[0], &[(1, 0), (0, 2)], Padding::Constant(1.5.into())), vec![x()]),
        (
            "slices",
            |x| {
                let back = Index::Slice { start: None, stop: None, step: -2 };
                let y = getitem(&x[0], &[Index::Int(1), back.clone()])?;
                setitem(&x[0], &[Index::Int(0), back], &y)
            },
            vec![x()],
        ),
        ("take", |x| take(&x[0], 1, &x[1]), vec![x(), ints(&[5])]),
        (
            "put",
            |x| setitem(&x[0], &[Index::Tensor(x[1].clone())], &x[2]),
            vec![x(), ints(&[2]), floats(&[2, 3, 4])],
        ),
        (
            "two arrays",
            |x| getitem(&x[0], &[Index::Tensor(x[1].clone()), Index::Tensor(x[1].clone())]),
            vec![x(), ints(&[2])],
        ),
        ("gather", |x| gather(&x[0], 2, &x[1]), vec![x(), ints(&[2, 3, 5])]),
        (
            "scatter",
            |x| scatter(&x[0], 1, &x[1], &x[2]),
            vec![x(), ints(&[2, 1, 4]), floats(&[2, 1, 4])],
        ),
        (
            "scatter_add",
            |x| scatter_add(&x[0], 1, &x[1], &x[2]),
            vec![x(), ints(&[2, 1, 4]), floats(&[2, 1, 4])],
        ),
        ("one_hot", |x| cast(&one_hot(&x[0], 4)?, DType::F32), vec![ints(&[3])]),
        (
            "reductions",
            |x| add(&ops::max(&x[0], Some(&[1]), true)?, &mean(&x[0], Some(&[0, 2]), true)?),
            vec![x()],
        ),
        ("prod", |x| prod(&x[0], Some(&[1]), false), vec![x()]),
        ("argmax", |x| argmax(&x[0], Some(1), true), vec![x()]),
        ("softmax", |x| softmax(&logsoftmax(&x[0], &[1])?, -1), vec![x()]),
        ("sort", |x| Ok(ops::sort(&x[0], 1, true)?.0), vec![x()]),
        ("topk", |x| Ok(topk(&x[0], 2, true, true)?.0), vec![x()]),
        ("cumsum", |x| cumsum(&x[0], 1), vec![x()]),
        ("diag", |x| diag(&diag(&x[0], 1)?, 0), vec![floats(&[3])]),
        ("matmul", |x| matmul(&x[0], &x[1], false, true), vec![x(), floats(&[5, 4])]),
        (
            "conv2d",
            |x| {
                let p = ConvParams { padding: (1, 1), stride: (2, 1), ..Default::default() };
                conv2d(&x[0], &x[1], Some(&x[2]), p)
            },
            vec![image(), floats(&[3, 4, 3, 3]), floats(&[3])],
        ),
        (
            "conv_transpose2d",
            |x| conv_transpose2d(&x[0], &x[1], None, ConvParams::default(), (0, 0)),
            vec![image(), floats(&[4, 2, 3, 3])],
        ),
        (
            "conv2d_fused",
            |x| {
                let activation = ConvActivation::Prelu(&x[3]);
                let after = ConvEpilogue { bias: Some(&x[2]), residual: None, activation };
                conv2d_fused(&x[0], &x[1], ConvParams::default(), after)
            },
            vec![image(), floats(&[3, 4, 3, 3]), floats(&[3]), floats(&[3])],
        ),
        (
            "pools",
            |x| {
                let y = max_pool2d(&x[0], PoolParams::square(2))?;
                avg_pool2d(
                    &y,
                    PoolParams { kernel: (2, 2), stride: (1, 1), padding: (1, 0) },
                    CountMode::ExcludePadding,
                )
            },
            vec![image()],
        ),
        (
            "adaptive",
            |x| adaptive_avg_pool2d(&adaptive_max_pool2d(&x[0], (4, 5))?, (2, 3)),
            vec![image()],
        ),
        (
            "norms",
            |x| {
                let y = group_norm(&x[0], 2, Some(&x[1]), Some(&x[1]), 1e-3)?;
                layer_norm(
                    &batch_norm_train(&y, Some(&x[1]), None, 1e-3)?.0,
                    &[6, 6],
                    None,
                    None,
                    1e-3,
                )
            },
            vec![image(), floats(&[4])],
        ),
        (
            "batch_norm_eval",
            |x| {
                let square = square(&x[1])?;
                batch_norm_eval(&x[0], &x[1], &square, None, None, 1e-3)
            },
            vec![image(), floats(&[4])],
        ),
        (
            "cross_entropy",
            |x| ops::cross_entropy(&x[0], &x[1], Default::default()),
            vec![floats(&[5, 3]), ints(&[5])],
        ),
        (
            "lstm",
            |x| Ok(lstm(&x[0], None, &x[1], RecurrentParams::new(3, 2))?.0),
            vec![floats(&[4, 2, 3]), floats(&[weights(4)])],
        ),
        (
            "rnn",
            |x| Ok(rnn(&x[0], None, &x[1], RecurrentParams::new(3, 2), Activation::Tanh)?.0),
            vec![floats(&[4, 2, 3]), floats(&[weights(1)])],
        ),
        ("losses", |x| binary_cross_entropy(&x[0], &x[1], true, Reduction::Mean), vec![x(), x()]),
    ]
}

fn with_gradients(f: F, x: &[Tensor]) -> Result<Vec<Tensor>> {
    let vars: Vec<Var> = x.iter().cloned().map(Var::new).collect();
    let mut gm = GradManager::new();
    gm.attach_all(vars.iter().filter(|v| v.get().dtype().is_float()))?.record()?;
    let y = f(&vars.iter().map(Var::get).collect::<Vec<_>>())?;
    if y.dtype().is_float() {
        gm.backward(&ops::sum(&square(&y)?, None, false)?)?;
    }
    let grads = vars.iter().filter_map(|v| v.grad().map(|g| g.get()));
    Ok([y.detach()].into_iter().chain(grads).collect())
}

/// Each function's graph, and the one with its gradients.
pub fn graphs() -> Vec<(&'static str, Graph)> {
    let mut all = Vec::new();
    for (name, f, inputs) in functions() {
        let plain = Graph::record(&inputs, |x| Ok(vec![f(x)?]));
        all.push((name, plain.unwrap_or_else(|e| panic!("{name}: {e}"))));
        let graph = Graph::record(&inputs, |x| with_gradients(f, x));
        all.push((name, graph.unwrap_or_else(|e| panic!("{name} with gradients: {e}"))));
    }
    all
}
