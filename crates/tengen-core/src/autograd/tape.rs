//! The tape: operators in the order in which they ran, with what their gradients need.

use crate::op::{Grads, Meta, Op, Tensors};
use crate::{Result, Tensor, ops};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The value of a tensor on a tape; tape 0 is no tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeRef {
    tape: u32,
    value: u32,
}

impl NodeRef {
    pub(crate) const NONE: NodeRef = NodeRef { tape: 0, value: 0 };
}

struct Input {
    meta: Meta,
    /// The tensor itself, if the gradient reads it.
    tensor: Option<Tensor>,
    /// Its value on this tape, if tracked.
    value: Option<u32>,
}

struct Node {
    op: Box<dyn Op>,
    inputs: SmallVec<[Input; 3]>,
    outputs: SmallVec<[Meta; 1]>,
    saved_outputs: Tensors,
    first_output: u32,
}

#[derive(Default)]
struct Tape {
    nodes: Vec<Rc<Node>>,
    values: u32,
    /// The values of attached variables, by the variables' identity.
    leaves: HashMap<u64, u32>,
    /// How many managers record.
    managers: usize,
}

thread_local! {
    /// The tape that operators append to, or 0 while none records.
    static CURRENT: Cell<u32> = const { Cell::new(0) };
    /// The live tape, recording or paused.
    static LIVE: Cell<u32> = const { Cell::new(0) };
    static TAPE: RefCell<Tape> = RefCell::default();
}

/// Whether operators of this thread are being recorded.
#[inline]
pub fn is_recording() -> bool {
    CURRENT.get() != 0
}

/// Whether a gradient can flow to this handle.
#[inline]
pub(crate) fn is_tracked(x: &Tensor) -> bool {
    x.node.tape != 0 && x.node.tape == CURRENT.get()
}

/// Appends an operator that has just run, and names its results.
pub(crate) fn record<O: Op>(op: O, inputs: &[&Tensor], results: &mut Tensors) {
    // A result that is not a number with a derivative is a constant.
    if !results.iter().any(|r| r.dtype().is_float()) {
        return;
    }
    TAPE.with_borrow_mut(|tape| {
        let saves = op.saves(results[0].dtype());
        let first_output = tape.values;
        for (i, r) in results.iter_mut().enumerate() {
            if r.dtype().is_float() {
                r.node = NodeRef { tape: CURRENT.get(), value: first_output + i as u32 };
            }
        }
        tape.values += results.len() as u32;
        let inputs = inputs.iter().enumerate().map(|(k, x)| Input {
            meta: Meta { shape: *x.shape(), dtype: x.dtype() },
            tensor: (saves.inputs >> k.min(31) & 1 == 1).then(|| (*x).clone()),
            value: is_tracked(x).then_some(x.node.value),
        });
        let node = Node {
            inputs: inputs.collect(),
            outputs: results.iter().map(|r| Meta { shape: *r.shape(), dtype: r.dtype() }).collect(),
            saved_outputs: if saves.outputs { results.clone() } else { Tensors::new() },
            op: Box::new(op),
            first_output,
        };
        tape.nodes.push(Rc::new(node));
    });
}

/// Runs `f` with recording paused on this thread.
pub fn without_recording<R>(f: impl FnOnce() -> R) -> R {
    let _pause = Pause::new();
    f()
}

/// Stops recording until dropped.
pub(crate) struct Pause(u32);

impl Pause {
    pub(crate) fn new() -> Self {
        Pause(CURRENT.replace(0))
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        // The tape may have ended meanwhile.
        CURRENT.set(if LIVE.get() == self.0 { self.0 } else { 0 });
    }
}

/// One manager's part of the thread's tape: it sees the nodes from its start on.
pub(crate) struct Session {
    tape: u32,
    start: usize,
}

impl Session {
    /// Starts recording.
    pub(crate) fn start() -> Session {
        if LIVE.get() == 0 {
            static NEXT: AtomicU32 = AtomicU32::new(1);
            let id = std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed))
                .find(|id| *id != 0)
                .unwrap_or(1);
            LIVE.set(id);
            CURRENT.set(id);
        }
        TAPE.with_borrow_mut(|tape| {
            tape.managers += 1;
            Session { tape: LIVE.get(), start: tape.nodes.len() }
        })
    }

    /// Whether this is the thread that the session was started on.
    pub(crate) fn is_here(&self) -> bool {
        LIVE.try_with(Cell::get) == Ok(self.tape)
    }

    /// The value that gradients to a variable are collected at: what its present tensor already
    /// is on the tape, or a new leaf.
    pub(crate) fn watch(&self, id: u64, tensor: &Tensor) -> u32 {
        TAPE.with_borrow_mut(|tape| {
            if tensor.node.tape == self.tape {
                return tensor.node.value;
            }
            *tape.leaves.entry(id).or_insert_with(|| {
                tape.values += 1;
                tape.values - 1
            })
        })
    }

    /// Whether other managers of this thread record too, so that the backward pass itself is to be
    /// recorded.
    pub(crate) fn is_nested(&self) -> bool {
        TAPE.with_borrow(|tape| tape.managers > 1)
    }

    /// Gradients to `wanted` values of the sum over `ys` of y·dy.
    pub(crate) fn backward(
        &self,
        ys: &[(Tensor, Tensor)],
        wanted: &[u32],
    ) -> Result<Vec<Option<Tensor>>> {
        let (nodes, values) = TAPE.with_borrow(|t| (t.nodes[self.start..].to_vec(), t.values));
        let mut is_wanted = vec![false; values as usize];
        wanted.iter().for_each(|w| is_wanted[*w as usize] = true);
        let mut needed = is_wanted.clone();
        for node in &nodes {
            if node.inputs.iter().any(|i| i.value.is_some_and(|v| needed[v as usize])) {
                for k in 0..node.outputs.len() {
                    needed[node.first_output as usize + k] = true;
                }
            }
        }
        let mut grads: Vec<Option<Tensor>> = vec![None; values as usize];
        for (y, dy) in ys {
            if y.node.tape == self.tape && needed[y.node.value as usize] {
                accumulate(&mut grads[y.node.value as usize], dy.clone())?;
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

impl Drop for Session {
    fn drop(&mut self) {
        if !self.is_here() {
            return;
        }
        // Nodes are dropped outside of the borrow: they may hold values with drop code of users.
        let ended = TAPE.try_with(|tape| {
            let mut tape = tape.borrow_mut();
            tape.managers -= 1;
            (tape.managers == 0).then(|| {
                LIVE.set(0);
                CURRENT.set(0);
                std::mem::take(&mut *tape)
            })
        });
        drop(ended);
    }
}

/// The handle of an attached variable's value, on this thread's tape if it is on it.
#[inline]
pub(crate) fn leaf(id: u64) -> NodeRef {
    let tape = CURRENT.get();
    if tape == 0 {
        return NodeRef::NONE;
    }
    TAPE.with_borrow(|t| t.leaves.get(&id).map_or(NodeRef::NONE, |v| NodeRef { tape, value: *v }))
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
        self.node.saved_outputs.get(k).ok_or_else(|| self.unsaved("output", k))
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
                let meta = self.node.outputs[k];
                Tensor::zeros(&meta.shape, meta.dtype)
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
