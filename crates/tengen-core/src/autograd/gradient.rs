//! The walk of a tape in reverse, and what an operator's gradient rule is given on it.

use super::tape::{Node, Session};
use crate::op::{Grads, Meta};
use crate::{Result, Tensor, ops};
use smallvec::SmallVec;

/// A mark for each value of a tape.
type Flags = SmallVec<[bool; 64]>;

impl Session {
    /// Gradients to `wanted` values of the sum over `ys` of y·dy.
    pub(super) fn backward(
        &self,
        ys: &[(Tensor, Tensor)],
        wanted: &[u32],
    ) -> Result<Vec<Option<Tensor>>> {
        let (nodes, values) = self.nodes();
        let mut is_wanted: Flags = SmallVec::from_elem(false, values);
        wanted.iter().for_each(|w| is_wanted[*w as usize] = true);
        let mut needed = is_wanted.clone();
        for node in &nodes {
            if node.inputs.iter().any(|i| i.value.is_some_and(|v| needed[v as usize])) {
                for k in 0..node.outputs.len() {
                    needed[node.first_output as usize + k] = true;
                }
            }
        }
        let mut grads: Vec<Option<Tensor>> = vec![None; values];
        for (y, dy) in ys {
            if let Some(v) = self.value(y)
                && needed[v]
            {
                accumulate(&mut grads[v], dy.clone())?;
            }
        }
        for node in nodes.iter().rev() {
            let first = node.first_output as usize;
            // A value's gradient is complete once the walk is at the operator that made it, and is
            // kept beyond that if it is wanted.
            let dys: SmallVec<[Option<Tensor>; 1]> = (first..first + node.outputs.len())
                .map(|v| if is_wanted[v] { grads[v].clone() } else { grads[v].take() })
                .collect();
            if dys.iter().all(Option::is_none) {
                continue;
            }
            let needs = node
                .inputs
                .iter()
                .map(|i| i.value.is_some_and(|v| needed[v as usize]))
                .collect::<SmallVec<[bool; 3]>>();
            if !needs.contains(&true) {
                continue;
            }
            let g = Gradient { node, dys: &dys, needs: &needs };
            for (k, grad) in node.op.grad(&g)?.into_iter().enumerate() {
                if let (Some(grad), true) = (grad, needs[k])
                    && let Some(v) = node.inputs[k].value
                {
                    debug_assert_eq!(
                        *grad.shape(),
                        node.inputs[k].meta.shape,
                        "{}",
                        node.op.name()
                    );
                    accumulate(&mut grads[v as usize], grad)?;
                }
            }
        }
        Ok(wanted.iter().map(|w| grads[*w as usize].clone()).collect())
    }
}

fn accumulate(slot: &mut Option<Tensor>, grad: Tensor) -> Result<()> {
    *slot = Some(match slot.take() {
        None => grad,
        Some(sum) => ops::add(&sum, &grad)?,
    });
    Ok(())
}

/// What an operator's gradient rule is given.
pub struct Gradient<'a> {
    node: &'a Node,
    dys: &'a [Option<Tensor>],
    needs: &'a [bool],
}

impl Gradient<'_> {
    /// The number of inputs.
    pub fn inputs(&self) -> usize {
        self.node.inputs.len()
    }

    /// Input `k`, which the operator said it saves.
    ///
    /// # Errors
    /// Unsupported: it did not.
    pub fn input(&self, k: usize) -> Result<&Tensor> {
        self.node.inputs[k].tensor.as_ref().ok_or_else(|| self.unsaved("input", k))
    }

    /// Result `k`, which the operator said it saves.
    ///
    /// # Errors
    /// Unsupported: it did not.
    pub fn output(&self, k: usize) -> Result<&Tensor> {
        self.node.outputs[k].tensor.as_ref().ok_or_else(|| self.unsaved("output", k))
    }

    fn unsaved(&self, what: &str, k: usize) -> crate::Error {
        let name = self.node.op.name();
        crate::Error::new(
            crate::ErrorKind::Unsupported,
            format!("{name}: {what} {k} was not saved"),
        )
    }

    /// Shape and dtype of input `k`.
    pub fn input_meta(&self, k: usize) -> Meta {
        self.node.inputs[k].meta
    }

    /// The gradient to result `k`; zeros if none arrived.
    ///
    /// # Errors
    /// Memory: the zeros cannot be had.
    pub fn dy(&self, k: usize) -> Result<Tensor> {
        match &self.dys[k] {
            Some(dy) => Ok(dy.clone()),
            None => {
                let meta = self.node.outputs[k].meta;
                ops::index::zeros_of(&meta.shape, meta.dtype)
            }
        }
    }

    /// The gradient to result `k`, if one arrived.
    pub fn dy_if_any(&self, k: usize) -> Option<Tensor> {
        self.dys[k].clone()
    }

    /// Whether a gradient to input `k` is asked for.
    pub fn needs(&self, k: usize) -> bool {
        self.needs[k]
    }

    /// The gradients, computed only where asked for.
    ///
    /// # Errors
    /// What `f` gives.
    pub fn each(&self, mut f: impl FnMut(usize) -> Result<Option<Tensor>>) -> Result<Grads> {
        (0..self.inputs()).map(|k| if self.needs[k] { f(k) } else { Ok(None) }).collect()
    }
}
