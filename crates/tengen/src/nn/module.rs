//! Modules: the walk over what they hold, and the methods that follow from it.

use super::base::{Base, ForwardHook, ForwardPreHook, HookHandle};
use super::param::{Buffer, Parameter};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tengen_core::{Error, ErrorKind, Result, Tensor, ops};

/// All state of a module by dotted path.
pub type StateDict = BTreeMap<String, Tensor>;

/// What a module holds.
#[derive(Clone, Copy)]
pub enum Member<'a> {
    /// A tensor that optimizers update.
    Parameter(&'a Parameter),
    /// A tensor that they do not.
    Buffer(&'a Buffer),
    /// A module within the module.
    Module(&'a dyn Module),
}

impl<'a> Member<'a> {
    /// The variable of a parameter or buffer.
    pub fn var(self) -> Option<&'a tengen_core::Var> {
        match self {
            Member::Parameter(p) => Some(p.var()),
            Member::Buffer(b) => Some(b.var()),
            Member::Module(_) => None,
        }
    }

    /// The member's identity: shared members are met once. Variables are numbered, and modules,
    /// which stay where they are while they are visited, known by the address of their base, so
    /// that the kinds are kept apart.
    fn id(self) -> (bool, u64) {
        match self {
            Member::Parameter(p) => (false, p.id()),
            Member::Buffer(b) => (false, b.id()),
            Member::Module(m) => (true, std::ptr::from_ref(m.base()).addr() as u64),
        }
    }
}

/// A part of a network. Derive it: each field is named once to a visitor, and everything else
/// follows.
///
/// Fields may be parameters, buffers, modules, lists, tuples, maps and options of these, boxed
/// modules, and settings. Traversals go through fields in the order of their names, as MegEngine's
/// do, so that both faces of Tengen name and order state alike.
///
/// ```
/// use tengen::nn::{Forward, Linear, Module, PReLU};
/// use tengen::{Result, Tensor};
///
/// #[derive(Module)]
/// struct Net {
///     hidden: Linear,
///     act: PReLU,
///     head: Linear,
/// }
///
/// impl Forward for Net {
///     type Input = Tensor;
///     type Output = Tensor;
///     fn forward(&self, x: &Tensor) -> Result<Tensor> {
///         self.head.call(&self.act.call(&self.hidden.call(x)?)?)
///     }
/// }
///
/// let net = Net { hidden: Linear::new(4, 8)?, act: PReLU::new(1, 0.25)?, head: Linear::new(8, 2)? };
/// assert_eq!(net.parameters(true).len(), 5);
/// assert_eq!(net.named_parameters("", true)[0].0, "act.weight");
/// # Ok::<(), tengen::Error>(())
/// ```
pub trait Module: Send + Sync {
    /// Mode, flags and hooks.
    fn base(&self) -> &Base;

    /// Calls `visit` with each direct member and its name, in the order of field names.
    fn visit<'a>(&'a self, visit: &mut dyn FnMut(&str, Member<'a>));

    /// This module as a trait object.
    fn as_module(&self) -> &dyn Module;

    /// The type's name, as the description of a network shows it.
    fn type_name(&self) -> &'static str;

    /// The names of fields in the order of their declaration, which descriptions follow.
    fn declared(&self) -> &'static [&'static str] {
        &[]
    }

    /// Settings that the description shows in parentheses.
    fn info(&self) -> String {
        String::new()
    }

    /// Whether state is saved with one dimension: normalisation layers keep theirs shaped for
    /// broadcasting.
    fn flattens_state(&self) -> bool {
        false
    }

    /// Calls `f` on every module within this one, itself included, children first.
    fn apply(&self, f: &mut dyn FnMut(&dyn Module)) {
        self.visit(&mut |_, member| {
            if let Member::Module(m) = member {
                m.apply(f);
            }
        });
        f(self.as_module());
    }

    /// All modules, itself first.
    fn modules(&self) -> Vec<&dyn Module> {
        self.named_modules("").into_iter().map(|(_, m)| m).collect()
    }

    /// All modules with their dotted paths, itself first under `prefix`.
    fn named_modules(&self, prefix: &str) -> Vec<(String, &dyn Module)> {
        let mut all = vec![(prefix.to_string(), self.as_module())];
        all.extend(walk(self.as_module(), prefix, true).into_iter().filter_map(|(n, m)| match m {
            Member::Module(m) => Some((n, m)),
            _ => None,
        }));
        all
    }

    /// Modules that are direct members.
    fn children(&self) -> Vec<&dyn Module> {
        self.named_children().into_iter().map(|(_, m)| m).collect()
    }

    /// Modules that are direct members, with their names.
    fn named_children(&self) -> Vec<(String, &dyn Module)> {
        let members = walk(self.as_module(), "", false).into_iter();
        members
            .filter_map(|(n, m)| match m {
                Member::Module(m) => Some((n, m)),
                _ => None,
            })
            .collect()
    }

    /// Parameters, of modules within too if `recursive`; shared ones once.
    fn parameters(&self, recursive: bool) -> Vec<&Parameter> {
        self.named_parameters("", recursive).into_iter().map(|(_, p)| p).collect()
    }

    /// Parameters with their dotted paths, which start with `prefix`.
    fn named_parameters(&self, prefix: &str, recursive: bool) -> Vec<(String, &Parameter)> {
        let members = walk(self.as_module(), prefix, recursive).into_iter();
        members
            .filter_map(|(n, m)| match m {
                Member::Parameter(p) => Some((n, p)),
                _ => None,
            })
            .collect()
    }

    /// Tensors that are not parameters.
    fn buffers(&self, recursive: bool) -> Vec<&Buffer> {
        self.named_buffers("", recursive).into_iter().map(|(_, b)| b).collect()
    }

    /// Tensors that are not parameters, with their dotted paths.
    fn named_buffers(&self, prefix: &str, recursive: bool) -> Vec<(String, &Buffer)> {
        let members = walk(self.as_module(), prefix, recursive).into_iter();
        members
            .filter_map(|(n, m)| match m {
                Member::Buffer(b) => Some((n, b)),
                _ => None,
            })
            .collect()
    }

    /// Parameters and buffers.
    fn tensors(&self, recursive: bool) -> Vec<&tengen_core::Var> {
        self.named_tensors("", recursive).into_iter().map(|(_, t)| t).collect()
    }

    /// Parameters and buffers with their dotted paths.
    fn named_tensors(&self, prefix: &str, recursive: bool) -> Vec<(String, &tengen_core::Var)> {
        let members = walk(self.as_module(), prefix, recursive).into_iter();
        members.filter_map(|(n, m)| Some((n, m.var()?))).collect()
    }

    /// Whether the module is in training mode, in which dropout drops and batch normalisation
    /// uses the batch's own statistics.
    fn training(&self) -> bool {
        self.base().training()
    }

    /// Sets the mode of all modules, or of this one alone.
    fn train(&self, mode: bool, recursive: bool) {
        if recursive {
            self.modules().into_iter().for_each(|m| m.base().set_training(mode));
        } else {
            self.base().set_training(mode);
        }
    }

    /// Puts all modules into evaluation mode.
    fn eval(&self) {
        self.train(false, true);
    }

    /// Whether quantisation is to leave this module alone.
    fn quantize_disabled(&self) -> bool {
        self.base().quantize_disabled()
    }

    /// Makes quantisation leave this module and those within alone (or not); gives the module
    /// back.
    fn disable_quantize(&self, value: bool) -> &dyn Module {
        self.modules().into_iter().for_each(|m| m.base().set_quantize_disabled(value));
        self.as_module()
    }

    /// Zeroes the gradients of all parameters.
    ///
    /// # Errors
    /// Memory: the zeros cannot be had.
    fn zero_grad(&self) -> Result<()> {
        for p in self.parameters(true) {
            if let Some(g) = p.grad() {
                let (shape, dtype) = g.with(|g| (*g.shape(), g.dtype()));
                g.replace(Tensor::zeros(&shape, dtype)?);
            }
        }
        Ok(())
    }

    /// Adds a hook that runs before `forward`, after those already there.
    fn register_forward_pre_hook(&self, hook: Box<ForwardPreHook>) -> HookHandle {
        self.base().add_pre_hook(Arc::from(hook))
    }

    /// Adds a hook that runs after `forward`, after those already there.
    fn register_forward_hook(&self, hook: Box<ForwardHook>) -> HookHandle {
        self.base().add_hook(Arc::from(hook))
    }

    /// Replaces the values of parameters by position: parameter `start_pos + i` of this module's
    /// [`parameters`](Module::parameters), for every position in `params`. Gives how many
    /// parameters it passed, so that several modules can share one numbering; parameters whose
    /// identity is in `seen` are not passed again.
    ///
    /// # Errors
    /// Shape: a value has not the parameter's shape; nothing is replaced then.
    fn replace_param(
        &self,
        params: &BTreeMap<usize, Tensor>,
        start_pos: usize,
        seen: Option<&mut BTreeSet<u64>>,
    ) -> Result<usize> {
        let mut none = BTreeSet::new();
        let seen = seen.unwrap_or(&mut none);
        let passed: Vec<_> = self
            .named_parameters("", true)
            .into_iter()
            .filter(|(_, p)| seen.insert(p.id()))
            .collect();
        let chosen = |i: usize| params.get(&(start_pos + i));
        for (i, (name, p)) in passed.iter().enumerate() {
            if let Some(value) = chosen(i) {
                check_shape(name, &p.get(), value)?;
            }
        }
        for (i, (_, p)) in passed.iter().enumerate() {
            if let Some(value) = chosen(i) {
                p.set(value.clone())?;
            }
        }
        Ok(passed.len())
    }

    /// All state by dotted path, each under `prefix`.
    ///
    /// # Errors
    /// Memory: a change of shape cannot be had.
    fn state_dict(&self, prefix: &str) -> Result<StateDict> {
        let mut all = StateDict::new();
        for (name, var, flat) in state(self.as_module(), prefix) {
            let value = var.get().detach();
            all.insert(name, if flat { ops::reshape(&value, &[value.numel()])? } else { value });
        }
        Ok(all)
    }

    /// Loads state by dotted path. With `strict`, state that is missing or not used is an error;
    /// otherwise it is passed over. Everything is checked first: on an error nothing has changed.
    ///
    /// # Errors
    /// Value: with `strict`, names what is missing and what is unused. Shape: names the key and
    /// both shapes.
    fn load_state_dict(&self, state_dict: &StateDict, strict: bool) -> Result<()> {
        let mut used = BTreeSet::new();
        let mut take = |key: &str, _: &Tensor| {
            used.insert(key.to_string());
            Ok(state_dict.get(key).cloned())
        };
        let changes = plan(self.as_module(), &mut take, false)?;
        if strict {
            let missing: Vec<_> = used.iter().filter(|k| !state_dict.contains_key(*k)).collect();
            let unused: Vec<_> = state_dict.keys().filter(|k| !used.contains(*k)).collect();
            if !missing.is_empty() || !unused.is_empty() {
                return Err(Error::new(
                    ErrorKind::Value,
                    format!("load_state_dict: missing {missing:?}, unused {unused:?}"),
                ));
            }
        }
        commit(changes)
    }

    /// Loads what `source` gives for each path and present value; with `strict`, it must give a
    /// value for every path.
    ///
    /// # Errors
    /// As [`Module::load_state_dict`], and what `source` gives.
    fn load_state_dict_with(
        &self,
        source: &mut dyn FnMut(&str, &Tensor) -> Result<Option<Tensor>>,
        strict: bool,
    ) -> Result<()> {
        commit(plan(self.as_module(), source, strict)?)
    }

    /// The network as text: one module a line, with its settings, in the order of declaration.
    fn describe(&self) -> String {
        let (mut children, declared) = (self.named_children(), self.declared());
        children.sort_by_key(|(name, _)| {
            let field = name.split('.').next().unwrap_or_default();
            declared.iter().position(|d| *d == field)
        });
        describe(self.as_module(), children)
    }
}

/// The text of a module with these children.
pub(super) fn describe<'a>(
    module: &dyn Module,
    children: impl IntoIterator<Item = (String, &'a dyn Module)>,
) -> String {
    let mut text = format!("{}({}", module.type_name(), module.info());
    let mut lines = false;
    for (name, child) in children {
        text += &format!("\n  ({name}): {}", child.describe().replace('\n', "\n  "));
        lines = true;
    }
    text + if lines { "\n)" } else { ")" }
}

/// Members with their dotted paths, depth first, each once.
fn walk<'a>(module: &'a dyn Module, prefix: &str, recursive: bool) -> Vec<(String, Member<'a>)> {
    fn go<'a>(
        module: &'a dyn Module,
        prefix: &str,
        recursive: bool,
        seen: &mut BTreeSet<(bool, u64)>,
        out: &mut Vec<(String, Member<'a>)>,
    ) {
        module.visit(&mut |name, member| {
            if !seen.insert(member.id()) {
                return;
            }
            let path =
                if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
            out.push((path.clone(), member));
            if let (Member::Module(m), true) = (member, recursive) {
                go(m, &path, true, seen, out);
            }
        });
    }
    let (mut seen, mut out) = (BTreeSet::new(), Vec::new());
    go(module, prefix, recursive, &mut seen, &mut out);
    out
}

/// What a state dict holds: path, variable, and whether it is saved flat.
fn state<'a>(module: &'a dyn Module, prefix: &str) -> Vec<(String, &'a tengen_core::Var, bool)> {
    let mut all = Vec::new();
    for (path, m) in module.named_modules(prefix) {
        let flat = m.flattens_state();
        all.extend(m.named_tensors(&path, false).into_iter().map(|(n, v)| (n, v, flat)));
    }
    all
}

type Changes<'a> = Vec<(&'a tengen_core::Var, Tensor)>;

/// Values to load, checked; nothing is changed yet.
fn plan<'a>(
    module: &'a dyn Module,
    source: &mut dyn FnMut(&str, &Tensor) -> Result<Option<Tensor>>,
    strict: bool,
) -> Result<Changes<'a>> {
    let (mut changes, mut missing) = (Changes::new(), Vec::new());
    for (name, var, flat) in state(module, "") {
        let old = var.get().detach();
        match source(&name, &old)? {
            None => missing.push(name),
            Some(new) => {
                let new = if flat && new.numel() == old.numel() {
                    ops::reshape(&new, old.shape())?
                } else {
                    new
                };
                check_shape(&name, &old, &new)?;
                changes.push((var, ops::cast(&new, old.dtype())?));
            }
        }
    }
    if strict && !missing.is_empty() {
        let message = format!("load_state_dict: missing {missing:?}");
        return Err(Error::new(ErrorKind::Value, message));
    }
    Ok(changes)
}

fn commit(changes: Changes<'_>) -> Result<()> {
    changes.into_iter().try_for_each(|(var, value)| var.set(value))
}

fn check_shape(name: &str, old: &Tensor, new: &Tensor) -> Result<()> {
    if old.shape() == new.shape() {
        return Ok(());
    }
    let message = format!("{name}: its shape is {}, but {} was given", old.shape(), new.shape());
    Err(Error::new(ErrorKind::Shape, message))
}

/// Values that a module takes or gives, as hooks see them: a list of tensors.
pub trait Tensors: Sized {
    /// The tensors.
    fn to_tensors(&self) -> Vec<Tensor>;
    /// The value of these tensors.
    ///
    /// # Errors
    /// Value: there are too many or too few.
    fn from_tensors(tensors: Vec<Tensor>) -> Result<Self>;
}

fn wrong_number(wanted: usize, given: usize) -> Error {
    Error::new(
        ErrorKind::Value,
        format!("a hook returned {given} tensors where {wanted} are needed"),
    )
}

impl Tensors for Tensor {
    fn to_tensors(&self) -> Vec<Tensor> {
        vec![self.clone()]
    }
    fn from_tensors(mut tensors: Vec<Tensor>) -> Result<Self> {
        match (tensors.len(), tensors.pop()) {
            (1, Some(t)) => Ok(t),
            (n, _) => Err(wrong_number(1, n)),
        }
    }
}

impl Tensors for Vec<Tensor> {
    fn to_tensors(&self) -> Vec<Tensor> {
        self.clone()
    }
    fn from_tensors(tensors: Vec<Tensor>) -> Result<Self> {
        Ok(tensors)
    }
}

impl<const N: usize> Tensors for [Tensor; N] {
    fn to_tensors(&self) -> Vec<Tensor> {
        self.to_vec()
    }
    fn from_tensors(tensors: Vec<Tensor>) -> Result<Self> {
        tensors.try_into().map_err(|t: Vec<Tensor>| wrong_number(N, t.len()))
    }
}

/// The computation of a module.
pub trait Forward: Module {
    /// What it takes: a tensor, or several as an array or list.
    type Input: Tensors;
    /// What it gives.
    type Output: Tensors;

    /// The computation itself, without hooks.
    ///
    /// # Errors
    /// Whatever the operators in it find.
    fn forward(&self, inputs: &Self::Input) -> Result<Self::Output>;

    /// The computation with the module's hooks around it: what a network calls its parts by.
    ///
    /// # Errors
    /// As [`Forward::forward`], and what hooks give.
    fn call(&self, inputs: &Self::Input) -> Result<Self::Output> {
        if !self.base().has_hooks() {
            return self.forward(inputs);
        }
        let module = self.as_module();
        let mut x = inputs.to_tensors();
        for hook in self.base().pre_hooks() {
            x = hook(module, &x)?.unwrap_or(x);
        }
        let mut y = self.forward(&Self::Input::from_tensors(x.clone())?)?.to_tensors();
        for hook in self.base().hooks() {
            y = hook(module, &x, &y)?.unwrap_or(y);
        }
        Self::Output::from_tensors(y)
    }
}

/// A module from one tensor to one tensor, as [`Sequential`](super::Sequential) holds them.
pub trait Layer: Forward<Input = Tensor, Output = Tensor> {}
impl<T: Forward<Input = Tensor, Output = Tensor> + ?Sized> Layer for T {}
