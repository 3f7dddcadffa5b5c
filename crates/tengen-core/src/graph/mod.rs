//! Graphs: operators that were recorded on tensors without values, to be run later, often, on other
//! inputs, or elsewhere.
//!
//! A later tensor has shape and dtype, but no value. An operator that meets one is recorded instead
//! of being evaluated, and its results are later tensors again; one whose inputs all have values is
//! evaluated at once, and what a recorded one needs of it becomes a constant. So ordinary functions
//! build graphs, the gradients of a [`GradManager`](crate::GradManager) and the steps of optimizers
//! included.

mod file;
mod recording;
mod text;

pub(crate) use recording::record;
pub use recording::with_values;

use crate::door;
use crate::op::{Meta, Metas, Op, describe};
use crate::{Result, Tensor, bail, ensure};
use recording::Recording;
use smallvec::SmallVec;
use std::sync::Arc;

/// A value of a graph: inputs come first, then constants, then the results of the steps.
type Id = u32;

/// An operator, what it reads, and its results.
type Part = (Arc<dyn Op>, SmallVec<[Id; 4]>, Metas);

/// One operator of a graph.
#[derive(Clone, Debug)]
pub struct Step {
    op: Arc<dyn Op>,
    inputs: SmallVec<[Id; 4]>,
    /// Its results have this number and the following ones.
    first: Id,
    outputs: Metas,
    /// Bit `k`: input `k` is read here for the last time.
    last: Vec<bool>,
}

impl Step {
    /// The operator.
    pub fn op(&self) -> &dyn Op {
        &*self.op
    }

    /// The numbers of the values that it reads.
    pub fn inputs(&self) -> &[u32] {
        &self.inputs
    }

    /// Shapes and dtypes of its results.
    pub fn metas(&self) -> &[Meta] {
        &self.outputs
    }

    /// The numbers of its results.
    pub fn outputs(&self) -> std::ops::Range<u32> {
        self.first..self.first + self.outputs.len() as u32
    }
}

/// A list of operators, each of which reads inputs, constants and results of those before it.
///
/// ```
/// use tengen_core::{DType, Meta, Shape, Tensor, graph::Graph, ops};
/// let row = Meta { shape: Shape::new(&[1, 3])?, dtype: DType::F32 };
/// let slope = Tensor::scalar(0.5f32)?;
/// let graph = Graph::record(&[row], |x| Ok(vec![ops::prelu(&x[0], &ops::neg(&slope)?)?]))?;
/// assert_eq!(graph.steps().len(), 1); // The negation is a constant.
/// let y = graph.run([Tensor::from_slice(&[1.0f32, -2.0, 4.0], &[1, 3])?])?;
/// assert_eq!(y[0].to_vec::<f32>()?, [1.0, 1.0, 4.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Graph {
    inputs: Vec<Meta>,
    constants: Vec<Tensor>,
    steps: Vec<Step>,
    outputs: Vec<Id>,
    /// The number of values.
    values: usize,
}

impl Graph {
    /// Records what `f` does with later tensors of these shapes and dtypes; its results are the
    /// graph's. What its results do not depend on is left out.
    ///
    /// ```
    /// use tengen_core::{DType, GradManager, Meta, Shape, Tensor, Var, graph::Graph, ops};
    /// let x = Meta { shape: Shape::new(&[])?, dtype: DType::F32 };
    /// let slope = Graph::record(&[x], |x| {
    ///     let v = Var::new(x[0].clone());
    ///     let mut gm = GradManager::new();
    ///     gm.attach(&v)?.record()?;
    ///     gm.backward(&ops::square(&v.get())?)?;
    ///     Ok(v.grad().map(|g| vec![g.get()]).unwrap_or_default())
    /// })?;
    /// assert_eq!(slope.run([Tensor::scalar(3.0f32)?])?[0].item()?, 6.0);
    /// # Ok::<(), tengen_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// Value: a later tensor's value was asked for, or one of another graph was used. Otherwise what
    /// `f` gives.
    pub fn record(
        inputs: &[Meta],
        f: impl FnOnce(&[Tensor]) -> Result<Vec<Tensor>>,
    ) -> Result<Graph> {
        let recording = Recording::start(inputs)?;
        let outputs = f(recording.inputs())?;
        recording.finish(&outputs)
    }

    /// Shapes and dtypes of the inputs.
    pub fn inputs(&self) -> &[Meta] {
        &self.inputs
    }

    /// Shapes and dtypes of the results.
    pub fn outputs(&self) -> Vec<Meta> {
        let metas = self.metas();
        self.outputs.iter().map(|id| metas[*id as usize]).collect()
    }

    /// The values that steps read besides inputs and each other's results.
    pub fn constants(&self) -> &[Tensor] {
        &self.constants
    }

    /// The operators, in the order in which they run.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Descriptions of all values.
    fn metas(&self) -> Vec<Meta> {
        let constants = self.constants.iter().map(Tensor::meta);
        let results = self.steps.iter().flat_map(|s| s.outputs.iter().copied());
        self.inputs.iter().copied().chain(constants).chain(results).collect()
    }

    /// Puts a graph together from parts that fit: for each step its operator, inputs and results.
    fn assemble(
        inputs: Vec<Meta>,
        constants: Vec<Tensor>,
        parts: Vec<Part>,
        outputs: Vec<Id>,
    ) -> Graph {
        let mut next = (inputs.len() + constants.len()) as Id;
        let mut steps = Vec::with_capacity(parts.len());
        for (op, inputs, outputs) in parts {
            let first = next;
            next += outputs.len() as Id;
            steps.push(Step { op, inputs, first, outputs, last: vec![] });
        }
        let mut read = vec![false; next as usize];
        outputs.iter().for_each(|id| read[*id as usize] = true);
        for step in steps.iter_mut().rev() {
            // Of a value that a step reads twice, the last handle is the last one read.
            let mut last: Vec<bool> = vec![false; step.inputs.len()];
            for (k, id) in step.inputs.iter().enumerate().rev() {
                last[k] = !std::mem::replace(&mut read[*id as usize], true);
            }
            step.last = last;
        }
        Graph { inputs, constants, steps, outputs, values: next as usize }
    }

    fn check(&self, inputs: &[Tensor]) -> Result<()> {
        let (given, wanted) = (inputs.len(), self.inputs.len());
        ensure!(given == wanted, Value, "graph: {given} inputs where it has {wanted}");
        for (i, (x, meta)) in inputs.iter().zip(&self.inputs).enumerate() {
            ensure!(
                x.meta() == *meta,
                Shape,
                "graph: input {i} is {x}, but it was recorded with {meta}; see Graph::specialise"
            );
        }
        Ok(())
    }

    /// The results for inputs of the recorded shapes and dtypes. A result takes the memory of an
    /// input or of another value where its operator can write there and nothing else holds it.
    ///
    /// Where gradients are recorded or an input is a later tensor, this is [`Graph::replay`].
    ///
    /// # Errors
    /// Value: there are more or fewer inputs. Shape: one has another shape or dtype. Otherwise what
    /// an operator finds, such as an index out of range.
    pub fn run(&self, inputs: impl IntoIterator<Item = Tensor>) -> Result<Vec<Tensor>> {
        let inputs: Vec<Tensor> = inputs.into_iter().collect();
        self.check(&inputs)?;
        if door::records(&inputs) {
            return self.replay(&inputs);
        }
        let mut values: Vec<Option<Tensor>> = Vec::with_capacity(self.values);
        values.extend(inputs.into_iter().map(Some));
        values.extend(self.constants.iter().map(|t| Some(t.clone())));
        let missing = || crate::Error::new(crate::ErrorKind::Value, "graph: a value is missing");
        for step in &self.steps {
            let mut args: SmallVec<[Tensor; 4]> = SmallVec::new();
            for (id, last) in step.inputs.iter().zip(&step.last) {
                let slot = &mut values[*id as usize];
                let value = if *last { slot.take() } else { slot.clone() };
                args.push(value.ok_or_else(missing)?);
            }
            let results = door::evaluate(&step.op, &mut args, &step.outputs)
                .map_err(|e| e.context(format_args!("%{} = {}", step.first, step.op)))?;
            values.extend(results.into_iter().map(Some));
        }
        self.outputs.iter().map(|id| values[*id as usize].clone().ok_or_else(missing)).collect()
    }

    /// Runs every operator through the door again, on inputs of any shapes that fit: gradients are
    /// recorded where they are asked for, and later tensors are recorded on.
    ///
    /// # Errors
    /// Value: there are more or fewer inputs. Otherwise what an operator finds.
    pub fn replay(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let (given, wanted) = (inputs.len(), self.inputs.len());
        ensure!(given == wanted, Value, "graph: {given} inputs where it has {wanted}");
        let mut values: Vec<Tensor> = inputs.to_vec();
        values.extend(self.constants.iter().cloned());
        for step in &self.steps {
            let args: SmallVec<[&Tensor; 4]> =
                step.inputs.iter().map(|id| &values[*id as usize]).collect();
            let results = crate::apply(step.op.clone(), &args)
                .map_err(|e| e.context(format_args!("%{} = {}", step.first, step.op)))?;
            drop(args);
            if results.len() != step.outputs.len() {
                bail!(Value, "graph: {} has {} results now", step.op, results.len());
            }
            values.extend(results);
        }
        Ok(self.outputs.iter().map(|id| values[*id as usize].clone()).collect())
    }

    /// The graph for inputs of other shapes and dtypes. Extents that operators have as attributes
    /// stay as they were recorded.
    ///
    /// ```
    /// use tengen_core::{DType, Meta, Shape, graph::Graph, ops};
    /// let rows = |n| Ok::<_, tengen_core::Error>(Meta { shape: Shape::new(&[n, 4])?, dtype: DType::F32 });
    /// let two = Graph::record(&[rows(2)?], |x| Ok(vec![ops::softmax(&x[0], 1)?]))?;
    /// assert_eq!(two.specialise(&[rows(3)?])?.outputs(), [rows(3)?]);
    /// # Ok::<(), tengen_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// What an operator finds: these inputs do not fit it.
    pub fn specialise(&self, inputs: &[Meta]) -> Result<Graph> {
        Graph::record(inputs, |xs| self.replay(xs))
    }
}

/// Checks that an operator takes these inputs, and infers its results; of an operator and inputs
/// that come from a file.
fn infer(op: &dyn Op, inputs: &[&Tensor]) -> Result<Metas> {
    let count = inputs.len();
    ensure!(op.takes(count), Value, "{op} does not take {count} inputs");
    if let Some(dtype) = op.promote(describe(inputs))? {
        ensure!(
            inputs.iter().all(|x| x.dtype() == dtype),
            DType,
            "{op}: inputs were not converted to {dtype}"
        );
    }
    op.infer(describe(inputs))
}
