//! Batch normalisation: which values training changes.

use tengen::nn::{BatchNorm2d, BatchNormParams, Forward, Module};
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
