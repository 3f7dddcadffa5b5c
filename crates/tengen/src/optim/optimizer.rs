//! What all optimizers have in common: groups of parameters and their state.

use super::state::{GroupState, OptimizerState};
use crate::nn::Parameter;
use std::collections::BTreeMap;
use tengen_core::{DType, Result, Tensor, Var, bail, ensure, ops, without_recording};

/// What an optimizer remembers of one parameter, by name.
pub type ParamState = BTreeMap<String, Var>;

/// One optimizer's settings and formula.
///
/// ```
/// use tengen::optim::{Optimizer, ParamState, Rule};
/// use tengen::{Result, Tensor, Var, nn::Parameter, ops};
///
/// /// Steps by the sign of the gradient.
/// #[derive(Clone)]
/// struct SignDescent {
///     lr: f64,
/// }
///
/// impl Rule for SignDescent {
///     fn name(&self) -> &'static str {
///         "SignDescent"
///     }
///     fn settings(&mut self) -> Vec<(&'static str, Vec<&mut f64>)> {
///         vec![("lr", vec![&mut self.lr])]
///     }
///     fn update(&self, param: &Var, grad: &Tensor, _: &ParamState) -> Result<()> {
///         let step = ops::mul(&ops::sign(grad)?, &Tensor::full(&[], self.lr, grad.dtype())?)?;
///         param.set(ops::sub(&param.get(), &step)?)
///     }
/// }
///
/// let w = Parameter::new(Tensor::from_slice(&[1.0f32], &[1])?);
/// w.set_grad(Some(Var::new(Tensor::from_slice(&[30.0f32], &[1])?)));
/// Optimizer::new([&w], SignDescent { lr: 0.25 })?.step()?;
/// assert_eq!(w.get().item()?, 0.75);
/// # Ok::<(), tengen::Error>(())
/// ```
pub trait Rule: Clone {
    /// The name that error messages use.
    fn name(&self) -> &'static str;

    /// The settings that state dicts hold, by name; `lr` is one of them. Most are one number.
    fn settings(&mut self) -> Vec<(&'static str, Vec<&mut f64>)>;

    /// Checks the settings.
    ///
    /// # Errors
    /// Value: one is out of range.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The names of what is remembered of each parameter under these settings.
    fn state(&self) -> &'static [&'static str] {
        &[]
    }

    /// The value that a state starts from: zeros of the parameter's shape, in f32 (f64 for f64),
    /// unless the rule says otherwise.
    ///
    /// # Errors
    /// Memory: it cannot be had.
    fn init(&self, name: &str, param: &Tensor) -> Result<Tensor> {
        let _ = name;
        zeros_for(param)
    }

    /// Changes a parameter, and its state, by its gradient. Nothing that runs here is recorded.
    ///
    /// # Errors
    /// Shape: the gradient has not the parameter's. Memory: a value cannot be had.
    fn update(&self, param: &Var, grad: &Tensor, state: &ParamState) -> Result<()>;

    /// The learning rate; 0 if the rule has none.
    fn lr(&self) -> f64 {
        let mut own = self.clone();
        let lr = own.settings().into_iter().find(|(n, _)| *n == "lr");
        lr.and_then(|(_, v)| v.first().map(|v| **v)).unwrap_or(0.0)
    }

    /// Sets the learning rate.
    fn set_lr(&mut self, lr: f64) {
        for (name, mut values) in self.settings() {
            if let ("lr", [value]) = (name, values.as_mut_slice()) {
                **value = lr;
            }
        }
    }
}

/// Parameters with settings of their own.
#[derive(Clone, Debug)]
pub struct ParamGroup<R> {
    params: Vec<Parameter>,
    /// The settings; they may be changed at any time.
    pub rule: R,
    /// The learning rate before any schedule changed it, once there is a schedule.
    pub initial_lr: Option<f64>,
}

impl<R> ParamGroup<R> {
    /// The parameters.
    pub fn params(&self) -> &[Parameter] {
        &self.params
    }
}

/// Updates groups of parameters by a [`Rule`].
///
/// ```
/// use tengen::nn::{Linear, Module};
/// use tengen::optim::{Adam, Optimizer};
///
/// let (body, head) = (Linear::new(4, 8)?, Linear::new(8, 2)?);
/// let mut optimizer = Optimizer::new(body.parameters(true), Adam::new(1e-3))?;
/// optimizer.add_group(head.parameters(true), Adam { weight_decay: 0.1, ..Adam::new(1e-2) })?;
/// assert_eq!(optimizer.groups().len(), 2);
/// # Ok::<(), tengen::Error>(())
/// ```
pub struct Optimizer<R> {
    groups: Vec<ParamGroup<R>>,
    /// By position: the parameters of all groups in order.
    state: Vec<ParamState>,
}

impl<R: Rule> Optimizer<R> {
    /// An optimizer with one group of parameters.
    ///
    /// # Errors
    /// Value: there are no parameters, one is named twice, or a setting is out of range. Memory:
    /// the state cannot be had.
    pub fn new<'a>(
        params: impl IntoIterator<Item = &'a Parameter>,
        rule: R,
    ) -> Result<Optimizer<R>> {
        let mut optimizer = Optimizer { groups: Vec::new(), state: Vec::new() };
        optimizer.add_group(params, rule)?;
        Ok(optimizer)
    }

    /// Adds a group with settings of its own.
    ///
    /// # Errors
    /// As [`Optimizer::new`]; Value: a parameter is in another group already.
    pub fn add_group<'a>(
        &mut self,
        params: impl IntoIterator<Item = &'a Parameter>,
        rule: R,
    ) -> Result<()> {
        rule.check()?;
        let params: Vec<Parameter> = params.into_iter().cloned().collect();
        ensure!(!params.is_empty(), Value, "{}: there are no parameters", rule.name());
        for (i, p) in params.iter().enumerate() {
            let known = self.params().chain(&params[..i]).any(|other| other.is(p));
            ensure!(
                !known,
                Value,
                "{}: a parameter ({}) is given twice",
                rule.name(),
                p.with(Tensor::to_string)
            );
        }
        let mut states = vec![ParamState::new(); params.len()];
        for (param, state) in params.iter().zip(&mut states) {
            complete(&rule, param, state)?;
        }
        self.state.extend(states);
        self.groups.push(ParamGroup { params, rule, initial_lr: None });
        Ok(())
    }

    /// The groups.
    pub fn groups(&self) -> &[ParamGroup<R>] {
        &self.groups
    }

    /// The groups, to change settings.
    pub fn groups_mut(&mut self) -> &mut [ParamGroup<R>] {
        &mut self.groups
    }

    /// The parameters of all groups.
    fn params(&self) -> impl Iterator<Item = &Parameter> {
        self.groups.iter().flat_map(|g| &g.params)
    }

    /// The variables that hold what is remembered of the parameters.
    pub fn state_vars(&self) -> Vec<Var> {
        self.state.iter().flat_map(|s| s.values().cloned()).collect()
    }

    /// Updates every parameter that has a gradient.
    ///
    /// # Errors
    /// Value: a setting is out of range; nothing has changed then. Shape: a gradient has not its
    /// parameter's shape. Memory: a value cannot be had. Parameters before the offending one are
    /// updated.
    pub fn step(&mut self) -> Result<()> {
        self.groups.iter().try_for_each(|g| g.rule.check())?;
        let mut position = 0;
        for group in &self.groups {
            for param in &group.params {
                let state = &mut self.state[position];
                position += 1;
                let Some(grad) = param.grad() else { continue };
                without_recording(|| {
                    complete(&group.rule, param, state)?;
                    group.rule.update(param, &grad.get().detach(), state)
                })?;
            }
        }
        Ok(())
    }

    /// Sets every gradient that exists to zeros.
    ///
    /// # Errors
    /// Memory: the zeros cannot be had.
    pub fn zero_grad(&self) -> Result<()> {
        for grad in self.params().filter_map(|p| p.grad()) {
            let (shape, dtype) = grad.with(|g| (*g.shape(), g.dtype()));
            grad.replace(Tensor::zeros(&shape, dtype)?);
        }
        Ok(())
    }

    /// Forgets every gradient.
    pub fn clear_grad(&self) {
        self.params().for_each(|p| p.set_grad(None));
    }

    /// The settings and the state, with parameters numbered in the order of the groups.
    pub fn state_dict(&self) -> OptimizerState {
        let (mut groups, mut next) = (Vec::new(), 0);
        for group in &self.groups {
            let mut rule = group.rule.clone();
            let settings = rule.settings().into_iter();
            let mut settings: BTreeMap<String, Vec<f64>> = settings
                .map(|(n, v)| (n.to_string(), v.into_iter().map(|v| *v).collect()))
                .collect();
            settings.extend(group.initial_lr.map(|lr| (INITIAL_LR.to_string(), vec![lr])));
            let params = (next..next + group.params.len()).collect();
            next += group.params.len();
            groups.push(GroupState { params, settings });
        }
        let values =
            |s: &ParamState| s.iter().map(|(n, v)| (n.clone(), v.get().detach())).collect();
        let state = self.state.iter().enumerate().filter(|(_, s)| !s.is_empty());
        OptimizerState { groups, state: state.map(|(i, s)| (i, values(s))).collect() }
    }

    /// Restores what [`Optimizer::state_dict`] gave. Everything is checked first: on an error
    /// nothing has changed.
    ///
    /// # Errors
    /// Value: the number of groups or of their parameters, the names of settings or of state
    /// differ, or a setting is out of range. Shape: a state has another shape than this
    /// optimizer's.
    pub fn load_state_dict(&mut self, saved: &OptimizerState) -> Result<()> {
        ensure!(
            saved.groups.len() == self.groups.len(),
            Value,
            "load_state_dict: there are {} groups, but the optimizer has {}",
            saved.groups.len(),
            self.groups.len()
        );
        let (mut groups, mut state, mut position) = (self.groups.clone(), Vec::new(), 0);
        for (i, (group, from)) in groups.iter_mut().zip(&saved.groups).enumerate() {
            group.load(from).map_err(|e| e.context(format_args!("load_state_dict: group {i}")))?;
            for number in &from.params {
                let none = BTreeMap::new();
                let values = saved.state.get(number).unwrap_or(&none);
                let own = &self.state[position];
                position += 1;
                let values = load_state(own, values).map_err(|e| {
                    e.context(format_args!("load_state_dict: state of parameter {number}"))
                })?;
                state.push(values);
            }
        }
        (self.groups, self.state) = (groups, state);
        Ok(())
    }
}

const INITIAL_LR: &str = "initial_lr";

impl<R: Rule> ParamGroup<R> {
    fn load(&mut self, saved: &GroupState) -> Result<()> {
        ensure!(
            saved.params.len() == self.params.len(),
            Value,
            "there are {} parameters, but the optimizer's group has {}",
            saved.params.len(),
            self.params.len()
        );
        let mut own = self.rule.settings();
        let known = |n: &str, own: &[(&str, Vec<&mut f64>)]| own.iter().any(|(o, _)| *o == n);
        if let Some(n) = saved.settings.keys().find(|n| *n != INITIAL_LR && !known(n, &own)) {
            bail!(Value, "the optimizer has no setting {n:?}");
        }
        for (name, targets) in &mut own {
            let Some(values) = saved.settings.get(*name) else {
                bail!(Value, "the setting {name:?} is missing")
            };
            ensure!(
                values.len() == targets.len(),
                Value,
                "the setting {name:?} is {} numbers, not {values:?}",
                targets.len()
            );
            targets.iter_mut().zip(values).for_each(|(t, v)| **t = *v);
        }
        self.initial_lr = saved.settings.get(INITIAL_LR).and_then(|v| v.first().copied());
        self.rule.check()
    }
}

/// A copy of saved values, in the shapes and dtypes that the state has.
fn load_state(own: &ParamState, saved: &BTreeMap<String, Tensor>) -> Result<ParamState> {
    if let Some(name) = own.keys().find(|n| !saved.contains_key(*n)) {
        bail!(Value, "{name:?} is missing");
    }
    let mut values = ParamState::new();
    for (name, value) in saved {
        let mut value = value.detach();
        if let Some(own) = own.get(name) {
            let (shape, dtype) = own.with(|t| (*t.shape(), t.dtype()));
            ensure!(
                shape == *value.shape(),
                Shape,
                "{name:?} has the shape {shape}, but {} was given",
                value.shape()
            );
            value = ops::cast(&value, dtype)?;
        }
        values.insert(name.clone(), Var::new(value));
    }
    Ok(values)
}

/// Zeros of a parameter's shape, in the dtype in which its steps are computed.
pub(super) fn zeros_for(param: &Tensor) -> Result<Tensor> {
    let dtype = if param.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    Tensor::zeros(param.shape(), dtype)
}

/// Adds what a parameter's state lacks: new settings may ask for more.
fn complete<R: Rule>(rule: &R, param: &Var, state: &mut ParamState) -> Result<()> {
    for name in rule.state() {
        if !state.contains_key(*name) {
            let value = param.with(|p| rule.init(name, p))?;
            state.insert(name.to_string(), Var::new(value));
        }
    }
    Ok(())
}

/// The state under a name.
pub(super) fn state_of<'a>(rule: &str, state: &'a ParamState, name: &str) -> Result<&'a Var> {
    match state.get(name) {
        Some(var) => Ok(var),
        None => bail!(Value, "{rule}: a parameter has no state {name:?}"),
    }
}

/// Checks that a setting is at least 0.
pub(super) fn not_negative(rule: &str, name: &str, value: f64) -> Result<()> {
    ensure!(value >= 0.0, Value, "{rule}: {name} must be at least 0, not {value}");
    Ok(())
}
