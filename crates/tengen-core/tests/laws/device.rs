//! Devices, and which one a result is on.

use tengen_core::ops::{self, Index};
use tengen_core::{DType, Device, ErrorKind, GradManager, Tensor, Var};

#[test]
fn a_device_is_called_what_it_was_named() {
    for name in ["cpu0", "cpu1", "cpux", "cpudefault", "xpux", "xpu0", "multithread2", "cpu3:1"] {
        assert_eq!(Device::parse(name).unwrap().to_string(), name);
    }
    assert_eq!(Device::parse("cpu0:0").unwrap(), Device::parse("cpu0").unwrap());
    assert_eq!(Device::default(), Device::parse("xpux").unwrap());
    for name in ["", "cpu", "gpu0", "cpu+1", "cpu70000", "cpu0:", "cpu0:x", "cpu0:300", "cpu0:0:0"]
    {
        assert_eq!(Device::parse(name).unwrap_err().kind(), ErrorKind::Device, "{name}");
    }
    assert!(size_of::<Device>() <= 4);
}

#[test]
fn results_are_on_the_device_of_their_inputs() {
    let device = Device::parse("cpu1").unwrap();
    let plain = Tensor::ones(&[2, 3], DType::F32).unwrap();
    let x = plain.to(device).unwrap();
    assert_eq!((plain.device(), x.device()), (Device::default(), device));
    let index = [Index::Slice { start: Some(0), stop: None, step: 1 }];
    for y in [
        ops::add(&plain, &x).unwrap(),
        ops::matmul(&x, &plain, false, true).unwrap(),
        ops::transpose(&x, &[1, 0]).unwrap().contiguous().unwrap(),
        ops::getitem(&x, &index).unwrap(),
        ops::setitem(&x, &index, &plain).unwrap(),
        ops::cast(&x, DType::F16).unwrap(),
        ops::softmax(&x, 1).unwrap(),
        ops::zeros_like(&x).unwrap(),
        ops::nonzero(&x).unwrap()[0].clone(),
        x.detach(),
    ] {
        assert_eq!(y.device(), device, "{y}");
    }
    assert_eq!(ops::setitem(&plain, &index, &x).unwrap().device(), Device::default());
    let w = Var::new(x);
    let mut gm = GradManager::new();
    gm.attach(&w).unwrap();
    gm.record().unwrap();
    gm.backward(&ops::sum(&ops::square(&w.get()).unwrap(), None, false).unwrap()).unwrap();
    assert_eq!(w.grad().unwrap().get().device(), device);
}
