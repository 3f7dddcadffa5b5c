//! Data sets, and batches of them.

use std::ops::Range;
use tengen_core::random::Generator;
use tengen_core::{DType, Result, Tensor, ensure, ops};

/// Examples by number. An example is one or more tensors, such as an image and its label.
///
/// ```
/// use tengen::data::{DataLoader, Dataset};
/// use tengen::{Result, Tensor};
///
/// /// Pairs of n and n².
/// struct Squares;
/// impl Dataset for Squares {
///     fn len(&self) -> usize {
///         10
///     }
///     fn get(&self, index: usize) -> Result<Vec<Tensor>> {
///         let n = index as f32;
///         Ok(vec![Tensor::scalar(n)?, Tensor::scalar(n * n)?])
///     }
/// }
///
/// let loader = DataLoader::new(Squares, 4)?;
/// let batches = loader.epoch()?.collect::<Result<Vec<_>>>()?;
/// assert_eq!(batches.len(), 3);
/// assert_eq!(batches[2][1].to_vec::<f32>()?, [64.0, 81.0]);
/// # Ok::<(), tengen::Error>(())
/// ```
pub trait Dataset {
    /// The number of examples.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One example; `index` is below [`Dataset::len`].
    ///
    /// # Errors
    /// What reading it finds.
    fn get(&self, index: usize) -> Result<Vec<Tensor>>;

    /// Several examples, stacked along a new first axis.
    ///
    /// # Errors
    /// Shape: the examples differ in shape or in their number of tensors. Otherwise as
    /// [`Dataset::get`].
    fn batch(&self, indices: &[usize]) -> Result<Vec<Tensor>> {
        let examples = indices.iter().map(|i| self.get(*i)).collect::<Result<Vec<_>>>()?;
        let parts = examples.first().map_or(0, Vec::len);
        ensure!(
            examples.iter().all(|e| e.len() == parts),
            Shape,
            "batch: examples differ in their number of tensors"
        );
        (0..parts)
            .map(|k| ops::stack(&examples.iter().map(|e| &e[k]).collect::<Vec<_>>(), 0))
            .collect()
    }
}

impl<D: Dataset + ?Sized> Dataset for &D {
    fn len(&self) -> usize {
        (**self).len()
    }
    fn get(&self, index: usize) -> Result<Vec<Tensor>> {
        (**self).get(index)
    }
    fn batch(&self, indices: &[usize]) -> Result<Vec<Tensor>> {
        (**self).batch(indices)
    }
}

/// Examples that lie in memory: row i of every tensor.
///
/// ```
/// use tengen::data::{ArrayDataset, Dataset};
/// use tengen::{DType, Tensor};
/// let images = Tensor::zeros(&[100, 8, 8], DType::F32)?;
/// let labels = Tensor::zeros(&[100], DType::I32)?;
/// let data = ArrayDataset::new([images, labels])?;
/// assert_eq!(data.len(), 100);
/// assert_eq!(*data.batch(&[3, 1])?[0].shape(), [2, 8, 8]);
/// # Ok::<(), tengen::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ArrayDataset {
    tensors: Vec<Tensor>,
    len: usize,
}

impl ArrayDataset {
    /// The data set of these tensors' rows.
    ///
    /// # Errors
    /// Shape: there are no tensors, or they differ in their number of rows.
    pub fn new(tensors: impl IntoIterator<Item = Tensor>) -> Result<ArrayDataset> {
        let tensors: Vec<Tensor> = tensors.into_iter().collect();
        let rows: Vec<Option<usize>> = tensors.iter().map(|t| t.shape().first().copied()).collect();
        match rows.first() {
            Some(Some(len)) if rows.iter().all(|r| *r == Some(*len)) => {
                Ok(ArrayDataset { len: *len, tensors })
            }
            _ => tengen_core::bail!(
                Shape,
                "ArrayDataset: tensors with equally many rows are needed, not {}",
                tensors.iter().map(Tensor::to_string).collect::<Vec<_>>().join(", ")
            ),
        }
    }
}

impl Dataset for ArrayDataset {
    fn len(&self) -> usize {
        self.len
    }

    fn get(&self, index: usize) -> Result<Vec<Tensor>> {
        let row = ops::Index::Int(isize::try_from(index).unwrap_or(isize::MAX));
        self.tensors.iter().map(|t| ops::getitem(t, std::slice::from_ref(&row))).collect()
    }

    fn batch(&self, indices: &[usize]) -> Result<Vec<Tensor>> {
        let rows: Vec<i64> = indices.iter().map(|i| *i as i64).collect();
        let rows = Tensor::from_slice(&rows, &[rows.len()])?;
        self.tensors.iter().map(|t| ops::take(t, 0, &rows)).collect()
    }
}

/// Gives a data set's examples in batches, in order or shuffled anew each epoch.
///
/// ```
/// use tengen::data::{ArrayDataset, DataLoader};
/// use tengen::random::Generator;
/// use tengen::{Result, Tensor};
/// let numbers = Tensor::from_slice(&[0i32, 1, 2, 3, 4, 5, 6], &[7])?;
/// let data = ArrayDataset::new([numbers])?;
/// let loader = DataLoader::new(&data, 3)?.shuffle(Generator::new(1)).drop_last(true);
/// assert_eq!(loader.len(), 2);
/// for epoch in 0..2 {
///     for batch in loader.epoch()? {
///         assert_eq!(*batch?[0].shape(), [3]);
///     }
/// }
/// # Ok::<(), tengen::Error>(())
/// ```
#[derive(Debug)]
pub struct DataLoader<D> {
    dataset: D,
    batch_size: usize,
    drop_last: bool,
    shuffle: Option<Generator>,
}

impl<D: Dataset> DataLoader<D> {
    /// Batches of `batch_size` examples in order; the last one has what is left over.
    ///
    /// # Errors
    /// Value: `batch_size` is 0.
    pub fn new(dataset: D, batch_size: usize) -> Result<DataLoader<D>> {
        ensure!(batch_size > 0, Value, "DataLoader: batch_size must not be 0");
        Ok(DataLoader { dataset, batch_size, drop_last: false, shuffle: None })
    }

    /// The same, with the examples of each epoch in an order drawn from `generator`.
    #[must_use]
    pub fn shuffle(self, generator: Generator) -> DataLoader<D> {
        DataLoader { shuffle: Some(generator), ..self }
    }

    /// The same, with or without (`drop`) a last batch that is not full.
    #[must_use]
    pub fn drop_last(self, drop: bool) -> DataLoader<D> {
        DataLoader { drop_last: drop, ..self }
    }

    /// The data set.
    pub fn dataset(&self) -> &D {
        &self.dataset
    }

    /// The number of batches of an epoch.
    pub fn len(&self) -> usize {
        self.batches(self.dataset.len())
    }

    fn batches(&self, examples: usize) -> usize {
        if self.drop_last { examples / self.batch_size } else { examples.div_ceil(self.batch_size) }
    }

    /// Whether an epoch has no batches.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batches of one pass over the data set.
    ///
    /// # Errors
    /// Value: there are more examples than can be shuffled. Memory: their order cannot be had.
    pub fn epoch(&self) -> Result<Batches<'_, D>> {
        let examples = self.dataset.len();
        let order = match &self.shuffle {
            None => None,
            Some(generator) => {
                let order = generator.permutation(examples)?;
                let order = ops::cast(&order, DType::I64)?.to_vec::<i64>()?;
                Some(order.into_iter().map(|i| i as usize).collect())
            }
        };
        Ok(Batches { loader: self, order, examples, next: 0..self.batches(examples) })
    }
}

/// The batches of one epoch of a [`DataLoader`]: each is the tensors of its examples, stacked.
#[derive(Debug)]
pub struct Batches<'a, D> {
    loader: &'a DataLoader<D>,
    order: Option<Vec<usize>>,
    examples: usize,
    next: Range<usize>,
}

impl<D: Dataset> Iterator for Batches<'_, D> {
    type Item = Result<Vec<Tensor>>;

    fn next(&mut self) -> Option<Self::Item> {
        let (size, n) = (self.loader.batch_size, self.examples);
        let from = self.next.next()? * size;
        let to = n.min(from.saturating_add(size));
        Some(match &self.order {
            Some(order) => self.loader.dataset.batch(&order[from..to]),
            None => self.loader.dataset.batch(&(from..to).collect::<Vec<_>>()),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.next.size_hint()
    }
}

impl<D: Dataset> ExactSizeIterator for Batches<'_, D> {}
