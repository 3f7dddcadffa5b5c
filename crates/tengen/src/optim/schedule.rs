//! Learning rates that change from epoch to epoch.

use super::optimizer::{Optimizer, Rule};
use tengen_core::{Result, ensure};

/// A schedule of learning rates: a function of a group's initial rate and the epoch.
///
/// The rate that a group has when its first schedule begins is kept in the group as `initial_lr`,
/// so that a schedule goes on where it was once the optimizer's state is loaded.
///
/// ```
/// use tengen::nn::Parameter;
/// use tengen::optim::{LRScheduler, Optimizer, SGD};
/// use tengen::Tensor;
///
/// struct Halving(usize);
/// impl LRScheduler for Halving {
///     fn get_lr(&self, initial_lr: f64, epoch: usize) -> f64 {
///         initial_lr * 0.5f64.powi(epoch as i32)
///     }
///     fn current_epoch(&self) -> usize {
///         self.0
///     }
///     fn set_current_epoch(&mut self, epoch: usize) {
///         self.0 = epoch;
///     }
/// }
///
/// let w = Parameter::new(Tensor::from_slice(&[1.0f32], &[1])?);
/// let mut optimizer = Optimizer::new([&w], SGD::new(1.0))?;
/// Halving(0).step(&mut optimizer);
/// assert_eq!(optimizer.groups()[0].rule.lr, 0.5);
/// # Ok::<(), tengen::Error>(())
/// ```
pub trait LRScheduler {
    /// The learning rate in `epoch` of a group that began with `initial_lr`.
    fn get_lr(&self, initial_lr: f64, epoch: usize) -> f64;

    /// The epoch whose rates the optimizer has.
    fn current_epoch(&self) -> usize;

    /// Notes the epoch.
    fn set_current_epoch(&mut self, epoch: usize);

    /// Goes on to the next epoch and sets its learning rates.
    fn step<R: Rule>(&mut self, optimizer: &mut Optimizer<R>)
    where
        Self: Sized,
    {
        self.step_to(optimizer, self.current_epoch().saturating_add(1));
    }

    /// Goes to an epoch and sets its learning rates.
    fn step_to<R: Rule>(&mut self, optimizer: &mut Optimizer<R>, epoch: usize)
    where
        Self: Sized,
    {
        self.set_current_epoch(epoch);
        for group in optimizer.groups_mut() {
            let initial = *group.initial_lr.get_or_insert(group.rule.lr());
            group.rule.set_lr(self.get_lr(initial, epoch));
        }
    }
}

/// Multiplies the learning rates by γ at each milestone: lr = initial_lr·γᵏ, where k milestones
/// are at or before the current epoch.
///
/// ```
/// use tengen::nn::Parameter;
/// use tengen::optim::{LRScheduler, MultiStepLR, Optimizer, SGD};
/// use tengen::Tensor;
/// let w = Parameter::new(Tensor::from_slice(&[1.0f32], &[1])?);
/// let mut optimizer = Optimizer::new([&w], SGD::new(1.0))?;
/// let mut schedule = MultiStepLR::new(&mut optimizer, &[1, 3], 0.5)?;
/// let mut rates = vec![];
/// for _ in 0..3 {
///     schedule.step(&mut optimizer);
///     rates.push(optimizer.groups()[0].rule.lr);
/// }
/// assert_eq!(rates, [0.5, 0.5, 0.25]);
/// # Ok::<(), tengen::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MultiStepLR {
    milestones: Vec<usize>,
    gamma: f64,
    epoch: usize,
}

impl MultiStepLR {
    /// A schedule for this optimizer from epoch 0 on; `gamma` is usually 0.1. To go on later, load
    /// the optimizer's state and go to the epoch with [`LRScheduler::step_to`].
    ///
    /// # Errors
    /// Value: the milestones do not increase.
    pub fn new<R: Rule>(
        optimizer: &mut Optimizer<R>,
        milestones: &[usize],
        gamma: f64,
    ) -> Result<MultiStepLR> {
        ensure!(
            milestones.is_sorted(),
            Value,
            "MultiStepLR: milestones must increase, not {milestones:?}"
        );
        let mut schedule = MultiStepLR { milestones: milestones.to_vec(), gamma, epoch: 0 };
        schedule.step_to(optimizer, 0);
        Ok(schedule)
    }
}

impl LRScheduler for MultiStepLR {
    fn get_lr(&self, initial_lr: f64, epoch: usize) -> f64 {
        let passed = self.milestones.partition_point(|m| *m <= epoch);
        initial_lr * self.gamma.powi(i32::try_from(passed).unwrap_or(i32::MAX))
    }

    fn current_epoch(&self) -> usize {
        self.epoch
    }

    fn set_current_epoch(&mut self, epoch: usize) {
        self.epoch = epoch;
    }
}
