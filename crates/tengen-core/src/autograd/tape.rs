//! The tapes of a thread: operators in the order in which they ran, with what their gradients
//! need.

use crate::Tensor;
use crate::op::{Meta, Op, Tensors};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// The value of a tensor on a tape; tape 0 is no tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeRef {
    pub(super) tape: u32,
    pub(super) value: u32,
}

impl NodeRef {
    pub(crate) const NONE: NodeRef = NodeRef { tape: 0, value: 0 };
}

pub(super) struct Input {
    pub(super) meta: Meta,
    /// The tensor itself, if the gradient reads it.
    pub(super) tensor: Option<Tensor>,
    /// Its value on this tape, if tracked.
    pub(super) value: Option<u32>,
}

pub(super) struct Output {
    pub(super) meta: Meta,
    /// The tensor itself, if the gradient reads it.
    pub(super) tensor: Option<Tensor>,
}

pub(super) struct Node {
    pub(super) op: Box<dyn Op>,
    pub(super) inputs: SmallVec<[Input; 3]>,
    pub(super) outputs: SmallVec<[Output; 1]>,
    pub(super) first_output: u32,
}

struct Tape {
    id: u32,
    nodes: Vec<Rc<Node>>,
    values: u32,
    /// The values of attached variables, by the variables' identity.
    leaves: HashMap<u64, u32>,
    /// How many managers record: with none left, the tape has ended.
    managers: Arc<AtomicUsize>,
}

thread_local! {
    /// The tape that operators append to, or 0 while none records.
    static CURRENT: Cell<u32> = const { Cell::new(0) };
    /// The tapes that have not ended. More than one lives only where a manager started while
    /// recording was paused: it records on a tape of its own.
    static TAPES: RefCell<Vec<Tape>> = const { RefCell::new(Vec::new()) };
    /// What [`ELSEWHERE`] was when this thread last looked for tapes that had ended.
    static SEEN: Cell<u64> = const { Cell::new(0) };
}

/// How many sessions ended on another thread than their own, whose tapes only notice by this.
static ELSEWHERE: AtomicU64 = AtomicU64::new(0);

/// Whether operators of this thread are being recorded.
#[inline]
pub fn is_recording() -> bool {
    CURRENT.get() != 0 && still_recording()
}

/// [`is_recording`], where there is a tape, which may have been ended from elsewhere.
fn still_recording() -> bool {
    if ELSEWHERE.load(Ordering::Acquire) != SEEN.get() {
        drop_ended();
    }
    CURRENT.get() != 0
}

/// Drops the tapes for which no manager records any more.
fn drop_ended() {
    // Seen before the tapes are looked at: what ends meanwhile is looked for again.
    SEEN.set(ELSEWHERE.load(Ordering::Acquire));
    let take = || {
        TAPES.try_with(|tapes| {
            let mut tapes = tapes.borrow_mut();
            let at = tapes.iter().position(|t| t.managers.load(Ordering::Acquire) == 0)?;
            let tape = tapes.swap_remove(at);
            if CURRENT.get() == tape.id {
                CURRENT.set(0);
            }
            Some(tape)
        })
    };
    // Nodes are dropped outside of the borrow: they may hold values with drop code of users.
    while let Ok(Some(tape)) = take() {
        drop(tape);
    }
}

/// Runs `f` with the tape of this thread that has this id, if it lives.
fn with_tape<R>(id: u32, f: impl FnOnce(&mut Tape) -> R) -> Option<R> {
    TAPES.try_with(|tapes| tapes.borrow_mut().iter_mut().find(|t| t.id == id).map(f)).ok()?
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
    let saves = op.saves(results[0].dtype());
    let current = CURRENT.get();
    let inputs = inputs.iter().enumerate().map(|(k, x)| Input {
        meta: Meta { shape: *x.shape(), dtype: x.dtype() },
        tensor: saves.input(k).then(|| (*x).clone()),
        value: is_tracked(x).then_some(x.node.value),
    });
    let mut node = Node {
        inputs: inputs.collect(),
        outputs: SmallVec::new(),
        op: Box::new(op),
        first_output: 0,
    };
    with_tape(current, |tape| {
        node.first_output = tape.values;
        for (i, r) in results.iter_mut().enumerate() {
            if r.dtype().is_float() {
                r.node = NodeRef { tape: current, value: tape.values + i as u32 };
            }
        }
        tape.values += results.len() as u32;
        let outputs = results.iter().enumerate().map(|(k, r)| Output {
            meta: Meta { shape: *r.shape(), dtype: r.dtype() },
            tensor: saves.output(k).then(|| r.clone()),
        });
        node.outputs = outputs.collect();
        tape.nodes.push(Rc::new(node));
    });
}

/// Runs `f` with recording paused on this thread. A manager that starts within `f` records all the
/// same, for itself alone.
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
        let lives = self.0 != 0 && with_tape(self.0, |_| ()).is_some();
        CURRENT.set(if lives { self.0 } else { 0 });
    }
}

/// One manager's part of a tape: it sees the nodes from its start on.
pub(crate) struct Session {
    tape: u32,
    start: usize,
    managers: Arc<AtomicUsize>,
}

impl Session {
    /// Starts recording: on the tape that operators append to, or on a new one if there is none
    /// or it is paused.
    pub(crate) fn start() -> Session {
        let joined = is_recording().then(|| {
            with_tape(CURRENT.get(), |tape| {
                tape.managers.fetch_add(1, Ordering::Relaxed);
                let (start, managers) = (tape.nodes.len(), tape.managers.clone());
                Session { tape: tape.id, start, managers }
            })
        });
        joined.flatten().unwrap_or_else(|| {
            static NEXT: AtomicU32 = AtomicU32::new(1);
            let id = std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed))
                .find(|id| *id != 0)
                .unwrap_or(1);
            let managers = Arc::new(AtomicUsize::new(1));
            let tape = Tape {
                id,
                nodes: Vec::new(),
                values: 0,
                leaves: HashMap::new(),
                managers: managers.clone(),
            };
            TAPES.with_borrow_mut(|tapes| tapes.push(tape));
            CURRENT.set(id);
            Session { tape: id, start: 0, managers }
        })
    }

    /// Whether this is the thread that the session was started on.
    pub(crate) fn is_here(&self) -> bool {
        with_tape(self.tape, |_| ()).is_some()
    }

    /// Whether operators are appended to this session's tape.
    pub(crate) fn is_current(&self) -> bool {
        CURRENT.get() == self.tape
    }

    /// The value that gradients to a variable are collected at: what its present tensor already
    /// is on the tape, or a new leaf. There is none on another thread.
    pub(crate) fn watch(&self, id: u64, tensor: NodeRef) -> Option<u32> {
        with_tape(self.tape, |tape| {
            if tensor.tape == self.tape {
                return tensor.value;
            }
            *tape.leaves.entry(id).or_insert_with(|| {
                tape.values += 1;
                tape.values - 1
            })
        })
    }

    /// Whether other managers record on the same tape, so that the backward pass itself is to be
    /// recorded.
    pub(crate) fn is_nested(&self) -> bool {
        self.managers.load(Ordering::Acquire) > 1
    }

    /// The operators since the session's start, and the number of values.
    pub(super) fn nodes(&self) -> (Vec<Rc<Node>>, usize) {
        with_tape(self.tape, |t| (t.nodes[self.start..].to_vec(), t.values as usize))
            .unwrap_or_default()
    }

    /// What a tensor is on this tape, if it is on it.
    pub(super) fn value(&self, x: &Tensor) -> Option<usize> {
        (x.node.tape == self.tape).then_some(x.node.value as usize)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let last = self.managers.fetch_sub(1, Ordering::AcqRel) == 1;
        if !last {
            return;
        }
        if self.is_here() {
            drop_ended();
        } else {
            ELSEWHERE.fetch_add(1, Ordering::Release);
        }
    }
}

/// The handle of an attached variable's value, on this thread's tape if it is on it.
#[inline]
pub(crate) fn leaf(id: u64) -> NodeRef {
    let tape = CURRENT.get();
    if tape == 0 {
        return NodeRef::NONE;
    }
    with_tape(tape, |t| t.leaves.get(&id).map(|v| NodeRef { tape, value: *v }))
        .flatten()
        .unwrap_or(NodeRef::NONE)
}
