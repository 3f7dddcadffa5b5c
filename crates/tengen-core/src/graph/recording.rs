//! Recording: which operators met later tensors, on this thread.

use super::{Graph, Id};
use crate::op::{Meta, Metas, Op, Tensors};
use crate::{Error, ErrorKind, Result, Tensor, Var, bail, ensure};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What an operator reads, until the graph is complete.
#[derive(Clone, Copy)]
enum Operand {
    /// An input or a result, by its number among these.
    Value(u32),
    /// By its number among constants.
    Constant(u32),
}

struct Node {
    op: Arc<dyn Op>,
    inputs: SmallVec<[Operand; 4]>,
    first: u32,
    outputs: Metas,
}

/// What was recorded so far.
struct Open {
    id: u32,
    /// Inputs and results.
    values: u32,
    constants: Vec<Tensor>,
    /// Constants by the identity of their values, which `constants` keeps alive.
    known: HashMap<usize, u32>,
    nodes: Vec<Node>,
}

thread_local! {
    static OPEN: RefCell<Vec<Open>> = const { RefCell::new(Vec::new()) };
}

fn other_graph(t: &Tensor) -> Error {
    Error::new(
        ErrorKind::Value,
        format!("{t} has no value: it belongs to a graph that is not being recorded here"),
    )
}

impl Open {
    fn operand(&mut self, t: &Tensor) -> Result<Operand> {
        match t.later() {
            Some((id, value)) if id == self.id => Ok(Operand::Value(value)),
            Some(_) => Err(other_graph(t)),
            None => {
                let number = self.constants.len() as u32;
                let known = *self.known.entry(t.identity()).or_insert(number);
                if known == number {
                    self.constants.push(t.detach());
                }
                Ok(Operand::Constant(known))
            }
        }
    }
}

/// Records an operator, of whose inputs some have no value; gives results without values.
pub(crate) fn record(op: &Arc<dyn Op>, inputs: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
    let Some((id, _)) = inputs.iter().find_map(|t| t.later()) else {
        bail!(Value, "{op}: every input has its value")
    };
    OPEN.with_borrow_mut(|open| {
        let first_later = inputs.iter().find(|t| t.is_later()).copied();
        let Some(open) = open.iter_mut().find(|o| o.id == id) else {
            return Err(first_later.map_or_else(
                || Error::new(ErrorKind::Value, "a graph is not being recorded here"),
                other_graph,
            ));
        };
        let operands = inputs.iter().map(|t| open.operand(t)).collect::<Result<_>>()?;
        let first = open.values;
        open.values = match u32::try_from(out.len()).ok().and_then(|n| first.checked_add(n)) {
            Some(values) => values,
            None => bail!(Value, "graph: there are too many values"),
        };
        open.nodes.push(Node {
            op: op.clone(),
            inputs: operands,
            first,
            outputs: out.iter().copied().collect(),
        });
        (first..).zip(out).map(|(value, meta)| Tensor::new_later(*meta, id, value)).collect()
    })
}

/// A graph that is being recorded on this thread, until this is dropped.
pub(super) struct Recording {
    id: u32,
    inputs: Vec<Tensor>,
}

impl Recording {
    pub(super) fn start(metas: &[Meta]) -> Result<Recording> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let values = metas.len() as u32;
        let inputs =
            (0..values).zip(metas).map(|(value, meta)| Tensor::new_later(*meta, id, value));
        let inputs = inputs.collect::<Result<Vec<Tensor>>>()?;
        let open = Open { id, values, constants: vec![], known: HashMap::new(), nodes: vec![] };
        OPEN.with_borrow_mut(|all| all.push(open));
        Ok(Recording { id, inputs })
    }

    pub(super) fn inputs(&self) -> &[Tensor] {
        &self.inputs
    }

    fn take(&self) -> Option<Open> {
        OPEN.try_with(|all| {
            let mut all = all.borrow_mut();
            let at = all.iter().position(|o| o.id == self.id)?;
            Some(all.swap_remove(at))
        })
        .ok()?
    }

    /// The graph whose results are `outputs`.
    pub(super) fn finish(self, outputs: &[Tensor]) -> Result<Graph> {
        let Some(mut open) = self.take() else { bail!(Value, "graph: the recording has ended") };
        let outputs = outputs.iter().map(|t| open.operand(t)).collect::<Result<Vec<Operand>>>()?;
        let inputs: Vec<Meta> = self.inputs.iter().map(Tensor::meta).collect();
        Ok(complete(open, inputs, &outputs))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// Leaves out what no result depends on, and numbers what stays.
fn complete(open: Open, inputs: Vec<Meta>, outputs: &[Operand]) -> Graph {
    let mut values = vec![false; open.values as usize];
    let mut constants = vec![false; open.constants.len()];
    let mut read = |operand: &Operand, values: &mut [bool]| match *operand {
        Operand::Value(v) => values[v as usize] = true,
        Operand::Constant(c) => constants[c as usize] = true,
    };
    outputs.iter().for_each(|o| read(o, &mut values));
    let mut nodes: Vec<&Node> = Vec::new();
    for node in open.nodes.iter().rev() {
        let results = node.first as usize..node.first as usize + node.outputs.len();
        if values[results].contains(&true) {
            node.inputs.iter().for_each(|i| read(i, &mut values));
            nodes.push(node);
        }
    }
    nodes.reverse();
    // New numbers: inputs, then the constants that are read, then results of the nodes that stay.
    let mut next = inputs.len() as Id;
    let mut constant_ids = vec![0; constants.len()];
    let mut kept = Vec::new();
    for ((id, t), _) in
        constant_ids.iter_mut().zip(&open.constants).zip(&constants).filter(|(_, k)| **k)
    {
        *id = next;
        next += 1;
        kept.push(t.clone());
    }
    let mut value_ids: Vec<Id> = (0..open.values).collect();
    for node in &nodes {
        for k in 0..node.outputs.len() {
            value_ids[node.first as usize + k] = next;
            next += 1;
        }
    }
    let id = |operand: &Operand| match *operand {
        Operand::Value(v) => value_ids[v as usize],
        Operand::Constant(c) => constant_ids[c as usize],
    };
    let parts = nodes
        .iter()
        .map(|n| (n.op.clone(), n.inputs.iter().map(id).collect(), n.outputs.clone()))
        .collect();
    Graph::assemble(inputs, kept, parts, outputs.iter().map(id).collect())
}

/// Runs `f` while `vars` hold `values`; gives its result and what they hold afterwards, and puts
/// back what they held before.
///
/// So a step that changes variables can be recorded: the values before and after it are inputs and
/// results of the graph.
///
/// ```
/// use tengen_core::{Tensor, Var, graph::{Graph, with_values}, ops, optimizer::sgd_step};
/// let w = Var::new(Tensor::scalar(1.0f32)?);
/// let step = Graph::record(&[w.get().meta()], |x| {
///     let (_, after) = with_values(&[&w], x, || {
///         sgd_step(&w, &ops::square(&w.get())?, None, 0.5, 0.0, false, 0.0)
///     })?;
///     Ok(after)
/// })?;
/// assert_eq!(step.run([w.get()])?[0].item()?, 0.5);
/// assert_eq!(w.get().item()?, 1.0);
/// # Ok::<(), tengen_core::Error>(())
/// ```
///
/// # Errors
/// Value: there are not as many values as variables. Otherwise what `f` gives.
pub fn with_values<R>(
    vars: &[&Var],
    values: &[Tensor],
    f: impl FnOnce() -> Result<R>,
) -> Result<(R, Vec<Tensor>)> {
    /// Values that go back into their variables, whatever happens.
    struct Restore<'a>(Vec<(&'a Var, Tensor, Option<Var>)>);
    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            for (var, value, grad) in self.0.drain(..) {
                var.replace(value);
                var.set_grad(grad);
            }
        }
    }
    let (n, given) = (vars.len(), values.len());
    ensure!(n == given, Value, "with_values: {given} values for {n} variables");
    let before = vars.iter().map(|v| (*v, v.with(Tensor::clone), v.grad())).collect();
    let _restore = Restore(before);
    for (var, value) in vars.iter().zip(values) {
        var.replace(value.detach());
        var.set_grad(None);
    }
    let result = f()?;
    Ok((result, vars.iter().map(|v| v.with(Tensor::detach)).collect()))
}
