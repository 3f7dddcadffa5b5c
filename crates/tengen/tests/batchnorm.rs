//! Batch normalisation: which values training changes.

use tengen::nn::{BatchNorm1d, BatchNorm2d, BatchNormParams, Forward, Module};
use tengen::{DType, GradManager, Tensor, Var, ops};

fn running<L: Module>(layer: &L) -> [Vec<f32>; 2] {
    let state = layer.state_dict("").unwrap();
    ["running_mean", "running_var"].map(|key| state[key].to_vec::<f32>().unwrap())
}

#[test]
fn frozen_layers_train_neither_weight_nor_bias() {
    let params = BatchNormParams { freeze: true, ..Default::default() };
    for training in [true, false] {
        let layer = BatchNorm2d::with_params(3, params).unwrap();
        layer.train(training, true);
        let x = Var::new(Tensor::full(&[2, 3, 2, 2], 3.0, DType::F32).unwrap());
        let (weight, bias) = (layer.weight.as_ref().unwrap(), layer.bias.as_ref().unwrap());
        let mut gm = GradManager::new();
        for var in [&x, weight, bias] {
            gm.attach(var).unwrap();
        }
        gm.record().unwrap();
        let y = layer.call(&x.get()).unwrap();
        gm.backward(&ops::sum(&y, None, false).unwrap()).unwrap();
        assert!(x.grad().is_some());
        assert!(weight.grad().is_none() && bias.grad().is_none());
        assert_eq!(running(&layer), [vec![0.0; 3], vec![1.0; 3]]);
    }
}

#[test]
fn running_statistics_do_not_follow_a_batch_without_elements() {
    let images = BatchNorm2d::new(2).unwrap();
    for shape in [[0, 2, 3, 3], [2, 2, 0, 3]] {
        let y = images.call(&Tensor::zeros(&shape, DType::F32).unwrap()).unwrap();
        assert_eq!(*y.shape(), shape);
    }
    let rows = BatchNorm1d::new(2).unwrap();
    rows.call(&Tensor::zeros(&[0, 2], DType::F32).unwrap()).unwrap();
    for got in [running(&images), running(&rows)] {
        assert_eq!(got, [[0.0, 0.0], [1.0, 1.0]]);
    }
}

#[test]
fn one_element_per_channel_has_no_variance() {
    let layer = BatchNorm1d::new(2).unwrap();
    let y = layer.call(&Tensor::from_slice(&[3.0f32, -5.0], &[1, 2]).unwrap()).unwrap();
    assert_eq!(y.to_vec::<f32>().unwrap(), [0.0, 0.0]);
    let [mean, var] = running(&layer);
    let near =
        |got: &[f32], want: [f32; 2]| got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(near(&mean, [0.3, -0.5]) && near(&var, [0.9, 0.9]), "{mean:?} {var:?}");
}
