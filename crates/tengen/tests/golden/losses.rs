//! Losses.

use crate::functions::{Answer, Call};
use tengen::ops::{self, CrossEntropy, HingeNorm, Reduction};

pub fn call(c: &Call) -> Answer {
    let (op, a) = (c.case.op(), c.args);
    let reduction = Reduction::from_name(a.str("reduction", "mean"))?;
    if let ("ctc_loss", [pred, steps, label, lengths]) = (op, &c.inputs[..]) {
        let blank = a.isize("blank").unwrap_or(0).unsigned_abs();
        let loss = ops::ctc_loss(pred, steps, label, lengths, blank, reduction);
        return Some(loss.map(|y| vec![y]).map_err(Into::into));
    }
    let [pred, label] = &c.inputs[..] else { return None };
    let with_logits = a.bool("with_logits", true);
    let result = match op {
        "cross_entropy" => {
            let axis = a.isize("axis").unwrap_or(1);
            let label_smooth = a.f64("label_smooth").unwrap_or(0.0);
            let options = CrossEntropy { axis, with_logits, label_smooth, reduction };
            ops::cross_entropy(pred, label, options)
        }
        "binary_cross_entropy" => ops::binary_cross_entropy(pred, label, with_logits, reduction),
        "l1_loss" => ops::l1_loss(pred, label, reduction),
        "square_loss" => ops::square_loss(pred, label, reduction),
        "hinge_loss" => {
            let norm = if a.str("norm", "L1") == "L1" { HingeNorm::L1 } else { HingeNorm::L2 };
            ops::hinge_loss(pred, label, norm, reduction)
        }
        _ => return None,
    };
    Some(result.map(|y| vec![y]).map_err(Into::into))
}
