//! What optimizers save.

use crate::nn::StateDict;
use std::collections::BTreeMap;
use tengen_core::files::pickle::Value;
use tengen_core::{DType, Error, ErrorKind, Result, Tensor, bail, ensure, ops};

/// The settings of one group of parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupState {
    /// The numbers of its parameters.
    pub params: Vec<usize>,
    /// The settings by name, and `initial_lr` once there is a schedule. Most are one number.
    pub settings: BTreeMap<String, Vec<f64>>,
}

/// The settings and the state of an optimizer, as MegEngine's `Optimizer.state_dict()` has them.
///
/// It becomes a flat [`StateDict`], which npz and safetensors files hold, and is read back from
/// one, or from a pickle of MegEngine's.
///
/// ```
/// use tengen::nn::{Linear, Module};
/// use tengen::optim::{Adam, Optimizer, OptimizerState};
/// let net = Linear::new(2, 1)?;
/// let mut optimizer = Optimizer::new(net.parameters(true), Adam::new(0.1))?;
/// let flat = optimizer.state_dict().to_flat()?;
/// assert!(flat.contains_key("param_groups.0.lr") && flat.contains_key("state.1.exp_avg"));
/// optimizer.load_state_dict(&OptimizerState::from_flat(&flat)?)?;
/// # Ok::<(), tengen::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct OptimizerState {
    /// The groups in order.
    pub groups: Vec<GroupState>,
    /// The state of parameters by their numbers.
    pub state: BTreeMap<usize, BTreeMap<String, Tensor>>,
}

fn number(text: &str) -> Option<usize> {
    text.parse().ok()
}

fn wrong(key: impl std::fmt::Display, what: &str) -> Error {
    Error::new(ErrorKind::Value, format!("optimizer state: {key} {what}"))
}

impl OptimizerState {
    /// All of it under dotted names: `param_groups.0.lr`, `param_groups.0.params`,
    /// `state.3.exp_avg`. Numbers are f64, those of parameters i64.
    ///
    /// # Errors
    /// Memory: a tensor cannot be had.
    pub fn to_flat(&self) -> Result<StateDict> {
        let mut flat = StateDict::new();
        for (i, group) in self.groups.iter().enumerate() {
            let numbers: Vec<i64> = group.params.iter().map(|n| *n as i64).collect();
            let params = Tensor::from_slice(&numbers, &[numbers.len()])?;
            flat.insert(format!("param_groups.{i}.params"), params);
            for (name, values) in &group.settings {
                let shape: &[usize] = if values.len() == 1 { &[] } else { &[values.len()] };
                let value = Tensor::from_slice(values, shape)?;
                flat.insert(format!("param_groups.{i}.{name}"), value);
            }
        }
        for (i, values) in &self.state {
            for (name, value) in values {
                flat.insert(format!("state.{i}.{name}"), value.clone());
            }
        }
        Ok(flat)
    }

    /// What [`OptimizerState::to_flat`] gave.
    ///
    /// # Errors
    /// Value: a name or a value is not of that form.
    pub fn from_flat(flat: &StateDict) -> Result<OptimizerState> {
        let mut groups = BTreeMap::<usize, GroupState>::new();
        let mut state = BTreeMap::<usize, BTreeMap<String, Tensor>>::new();
        for (key, value) in flat {
            let mut parts = key.splitn(3, '.');
            let found = (parts.next(), parts.next().and_then(number), parts.next());
            match found {
                (Some("param_groups"), Some(i), Some("params")) => {
                    let numbers = ops::cast(value, DType::I64)?.to_vec::<i64>()?;
                    groups.entry(i).or_default().params = numbers
                        .into_iter()
                        .map(|n| usize::try_from(n).map_err(|_| wrong(key, "is negative")))
                        .collect::<Result<_>>()?;
                }
                (Some("param_groups"), Some(i), Some(name)) => {
                    let settings = &mut groups.entry(i).or_default().settings;
                    settings.insert(name.to_string(), value.to_f64_vec()?);
                }
                (Some("state"), Some(i), Some(name)) => {
                    state.entry(i).or_default().insert(name.to_string(), value.clone());
                }
                _ => return Err(wrong(format_args!("{key:?}"), "is no part of one")),
            }
        }
        ensure!(
            groups.keys().copied().eq(0..groups.len()),
            Value,
            "optimizer state: groups {:?} are not numbered from 0 on",
            groups.keys()
        );
        Ok(OptimizerState { groups: groups.into_values().collect(), state })
    }

    /// The dictionary that MegEngine's `Optimizer.state_dict()` gives, from a pickle.
    ///
    /// # Errors
    /// Value: it is not of that form.
    ///
    /// ```no_run
    /// use tengen::files::pickle;
    /// use tengen::optim::OptimizerState;
    /// let checkpoint = pickle::load("checkpoint.pkl")?;
    /// if let Some(value) = checkpoint.get("opt") {
    ///     let state = OptimizerState::from_pickle(value)?;
    /// }
    /// # Ok::<(), tengen::Error>(())
    /// ```
    pub fn from_pickle(value: &Value) -> Result<OptimizerState> {
        let Some(Value::List(list)) = value.get("param_groups") else {
            return Err(wrong("\"param_groups\"", "is missing"));
        };
        let mut groups = Vec::new();
        for (i, group) in list.iter().enumerate() {
            let Value::Dict(pairs) = group else {
                return Err(wrong(format_args!("param_groups.{i}"), "is not a dict"));
            };
            let mut found = GroupState::default();
            for (name, value) in pairs {
                let Some(name) = name.as_str() else { continue };
                let values = numbers(value).ok_or_else(|| {
                    wrong(
                        format_args!("param_groups.{i}.{name}"),
                        "is neither a number nor several",
                    )
                })?;
                if name == "params" {
                    found.params = values.into_iter().map(|v| v as usize).collect();
                } else {
                    found.settings.insert(name.to_string(), values);
                }
            }
            groups.push(found);
        }
        let Some(Value::Dict(pairs)) = value.get("state") else {
            return Err(wrong("\"state\"", "is missing"));
        };
        let mut state = BTreeMap::new();
        for (key, values) in pairs {
            let i = key.as_i64().and_then(|n| usize::try_from(n).ok());
            let (Some(i), Value::Dict(values)) = (i, values) else {
                return Err(wrong(format_args!("state.{key:?}"), "is not a dict under a number"));
            };
            let mut of_param = BTreeMap::new();
            for (name, value) in values {
                let Some(name) = name.as_str() else { continue };
                let tensor = match (value.as_array(), value.as_f64()) {
                    (Some(array), _) => Tensor::try_from(array)?,
                    (None, Some(number)) => Tensor::scalar(number as f32)?,
                    _ => bail!(Value, "optimizer state: state.{i}.{name} is not an array"),
                };
                of_param.insert(name.to_string(), tensor);
            }
            state.insert(i, of_param);
        }
        Ok(OptimizerState { groups, state })
    }
}

/// A number, or several.
fn numbers(value: &Value) -> Option<Vec<f64>> {
    match value {
        Value::List(items) | Value::Tuple(items) => items.iter().map(Value::as_f64).collect(),
        Value::Array(array) => array.to_f64().ok(),
        _ => value.as_f64().map(|v| vec![v]),
    }
}
