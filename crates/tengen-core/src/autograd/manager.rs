//! The gradient manager: which variables get gradients, and when operators are recorded.

use super::tape::{Pause, Session, is_recording};
use super::var::{Var, WeakVar};
use crate::{Result, Tensor, bail, ensure, ops};
use std::collections::HashMap;
use std::sync::Arc;

/// Called with a variable and the gradient that a backward pass found for it; what it returns is
/// what is added to the variable's gradient.
pub type Callback = Box<dyn Fn(&Var, Tensor) -> Result<Option<Tensor>> + Send + Sync>;
type SharedCallback = Arc<dyn Fn(&Var, Tensor) -> Result<Option<Tensor>> + Send + Sync>;

struct Attached {
    var: WeakVar,
    id: u64,
    /// What its gradient is collected at, on the tape of the present session.
    value: Option<u32>,
    callbacks: Vec<SharedCallback>,
}

/// Records operators on attached variables and computes their gradients.
///
/// Managers nest: while another one records, a backward pass is itself recorded, so the outer one
/// gives gradients of gradients.
///
/// ```
/// use tengen_core::{GradManager, Tensor, Var, ops};
/// let x = Var::new(Tensor::from_slice(&[3.0f32], &[1])?);
/// let mut gm = GradManager::new();
/// gm.attach(&x)?;
/// gm.record()?;
/// let y = ops::mul(&x.get(), &x.get())?;
/// gm.backward(&y)?;
/// assert_eq!(x.grad().unwrap().get().to_vec::<f32>()?, [6.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
#[derive(Default)]
pub struct GradManager {
    /// In order of attachment.
    attached: Vec<Attached>,
    /// Where a variable is in `attached`, by its identity.
    places: HashMap<u64, usize>,
    /// How long `attached` may grow before variables that are gone are dropped from it.
    room: usize,
    session: Option<Session>,
    /// Held by a backward pass of this manager, too.
    pass: Arc<()>,
}

impl GradManager {
    /// A manager with nothing attached.
    pub fn new() -> GradManager {
        GradManager::default()
    }

    /// Lets backward passes compute a gradient for `var`. Attaching again changes nothing.
    ///
    /// # Errors
    /// DType: the variable does not hold floating-point numbers.
    pub fn attach(&mut self, var: &Var) -> Result<&mut Self> {
        self.attach_with(var, Vec::new())
    }

    /// Attaches every variable of `vars`.
    ///
    /// # Errors
    /// As [`GradManager::attach`]; variables before the offending one stay attached.
    pub fn attach_all<'a>(&mut self, vars: impl IntoIterator<Item = &'a Var>) -> Result<&mut Self> {
        for var in vars {
            self.attach(var)?;
        }
        Ok(self)
    }

    /// Attaches a variable with callbacks, which run in order after those it already has.
    ///
    /// # Errors
    /// As [`GradManager::attach`].
    pub fn attach_with(&mut self, var: &Var, callbacks: Vec<Callback>) -> Result<&mut Self> {
        let node = var.with(|value| {
            ensure!(
                value.dtype().is_float(),
                DType,
                "attach: gradients need floating-point numbers, not {value}"
            );
            Ok(value.node)
        })?;
        if let Some(session) = &self.session {
            ensure!(session.is_here(), Value, "attach: recording was started on another thread");
        }
        let callbacks = callbacks.into_iter().map(SharedCallback::from);
        if let Some(at) = self.places.get(&var.id()) {
            self.attached[*at].callbacks.extend(callbacks);
            return Ok(self);
        }
        if self.attached.len() >= self.room {
            self.forget_the_gone();
        }
        var.attach();
        let value = self.session.as_ref().and_then(|session| session.watch(var.id(), node));
        self.places.insert(var.id(), self.attached.len());
        self.attached.push(Attached {
            var: var.downgrade(),
            id: var.id(),
            value,
            callbacks: callbacks.collect(),
        });
        Ok(self)
    }

    /// Drops variables that are gone, and leaves room for as many again as there are.
    fn forget_the_gone(&mut self) {
        self.attached.retain(|a| a.var.get().is_some());
        self.places = self.attached.iter().enumerate().map(|(at, a)| (a.id, at)).collect();
        self.room = 2 * self.attached.len() + 16;
    }

    /// The attached variables that still exist.
    pub fn attached(&self) -> Vec<Var> {
        self.attached.iter().filter_map(|a| a.var.get()).collect()
    }

    /// Whether operators are being recorded for this manager.
    pub fn is_recording(&self) -> bool {
        self.session.is_some()
    }

    /// Starts recording on this thread: where recording is paused, as in a backward pass, on a tape
    /// of this manager's own.
    ///
    /// # Errors
    /// Value: this manager records already, or runs its backward pass.
    pub fn record(&mut self) -> Result<()> {
        ensure!(self.session.is_none(), Value, "record: already recording");
        ensure!(!self.is_in_pass(), Value, "record: this manager runs its backward pass");
        let session = Session::start();
        for a in &mut self.attached {
            a.value = match a.var.get() {
                Some(var) => session.watch(a.id, var.with(|value| value.node)),
                None => None,
            };
        }
        self.session = Some(session);
        Ok(())
    }

    fn is_in_pass(&self) -> bool {
        Arc::strong_count(&self.pass) > 1
    }

    /// Stops recording and forgets what was recorded.
    pub fn release(&mut self) {
        self.session = None;
    }

    /// Records `f`, and stops recording when it is through.
    ///
    /// # Errors
    /// Value: this manager records already. Otherwise what `f` gives.
    pub fn scope<R>(&mut self, f: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        self.record()?;
        let result = f(self);
        self.release();
        result
    }

    /// Adds the gradients of the sum of `y`'s elements to the attached variables, and stops
    /// recording. A variable that `y` does not depend on is left as it is.
    ///
    /// # Errors
    /// Value: not recording. Unsupported: an operator between has no gradient.
    pub fn backward(&mut self, y: &Tensor) -> Result<()> {
        self.backward_with(std::slice::from_ref(y), None)
    }

    /// Adds the gradients of the sum over `ys` of y·dy to the attached variables, and stops
    /// recording; without `dys` each dy is ones.
    ///
    /// # Errors
    /// As [`GradManager::backward`]; Shape: a dy cannot be broadcast to its y, or their numbers
    /// differ.
    pub fn backward_with(&mut self, ys: &[Tensor], dys: Option<&[Tensor]>) -> Result<()> {
        self.backward_through(ys, dys, |_, grad| Ok(Some(grad)))
    }

    /// [`GradManager::backward_with`], with one more callback for every variable, which runs after
    /// the variable's own.
    ///
    /// # Errors
    /// As [`GradManager::backward_with`], and what the callback gives.
    pub fn backward_through(
        &mut self,
        ys: &[Tensor],
        dys: Option<&[Tensor]>,
        last: impl Fn(&Var, Tensor) -> Result<Option<Tensor>>,
    ) -> Result<()> {
        self.begin_backward()?.run(ys, dys, last)
    }

    /// Ends recording, and gives what [`GradManager::backward_through`] would run. The pass does
    /// not borrow the manager, so that callbacks and gradients of operators, or other threads, can
    /// attach variables meanwhile. Dropping it forgets what was recorded.
    ///
    /// # Errors
    /// Value: not recording.
    pub fn begin_backward(&mut self) -> Result<BackwardPass> {
        let Some(session) = self.session.take() else {
            ensure!(!self.is_in_pass(), Value, "backward: this manager runs its backward pass");
            bail!(Value, "backward: nothing is recorded; call record() first, and backward() once")
        };
        let vars = self.attached.iter();
        let vars = vars.filter_map(|a| Some((a.var.get()?, a.value?, a.callbacks.clone())));
        let vars = vars.collect();
        Ok(BackwardPass { session, vars, _running: self.pass.clone() })
    }
}

/// A backward pass of a [`GradManager`] that is yet to run.
///
/// ```
/// use std::sync::Mutex;
/// use tengen_core::{GradManager, Tensor, Var, ops};
/// let (x, y) = (Tensor::ones(&[], tengen_core::DType::F32)?, Tensor::ones(&[], tengen_core::DType::F32)?);
/// let (x, y) = (Var::new(x), Var::new(y));
/// let gm = Mutex::new(GradManager::new());
/// gm.lock().unwrap().attach(&x)?.record()?;
/// let square = ops::square(&x.get())?;
/// let pass = gm.lock().unwrap().begin_backward()?;
/// pass.run(&[square], None, |_, grad| {
///     gm.lock().unwrap().attach(&y)?; // not locked while the pass runs
///     Ok(Some(grad))
/// })?;
/// assert_eq!(gm.lock().unwrap().attached().len(), 2);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub struct BackwardPass {
    session: Session,
    /// With the value that the gradient is collected at.
    vars: Vec<(Var, u32, Vec<SharedCallback>)>,
    _running: Arc<()>,
}

impl BackwardPass {
    /// Runs the pass: see [`GradManager::backward_through`].
    ///
    /// # Errors
    /// As [`GradManager::backward_through`]; Value: recording was started on another thread.
    pub fn run(
        self,
        ys: &[Tensor],
        dys: Option<&[Tensor]>,
        last: impl Fn(&Var, Tensor) -> Result<Option<Tensor>>,
    ) -> Result<()> {
        let BackwardPass { session, vars, _running } = self;
        ensure!(session.is_here(), Value, "backward: recording was started on another thread");
        // What another manager records is recorded: this one's pass belongs to it.
        let _pause = (session.is_current() && !session.is_nested()).then(Pause::new);
        let mut pairs = Vec::with_capacity(ys.len());
        if let Some(dys) = dys {
            ensure!(
                ys.len() == dys.len(),
                Shape,
                "backward: {} values but {} gradients",
                ys.len(),
                dys.len()
            );
        }
        for (i, y) in ys.iter().enumerate() {
            if !y.dtype().is_float() {
                continue;
            }
            let dy = match dys {
                Some(dys) => {
                    let dy = ops::cast(&dys[i], y.dtype())?;
                    ops::broadcast_to(&dy, y.shape()).map_err(|e| e.context("backward"))?
                }
                None => Tensor::ones(y.shape(), y.dtype())?,
            };
            pairs.push((y.clone(), dy));
        }
        let wanted: Vec<u32> = vars.iter().map(|(_, value, _)| *value).collect();
        let grads = session.backward(&pairs, &wanted)?;
        for ((var, _, callbacks), grad) in vars.into_iter().zip(grads) {
            let device = var.with(Tensor::device);
            let mut grad = grad.map(|g| g.named(device));
            for callback in callbacks {
                grad = match grad {
                    Some(g) => callback(&var, g)?,
                    None => None,
                };
            }
            let Some(grad) = grad else { continue };
            let Some(grad) = last(&var, grad)? else { continue };
            let sum = match var.grad() {
                Some(old) => ops::add(&old.get(), &grad)?,
                None => grad,
            };
            match (var.grad(), is_recording()) {
                (Some(old), false) => old.replace(sum),
                _ => var.set_grad(Some(Var::new(sum))),
            }
        }
        Ok(())
    }
}

impl Drop for GradManager {
    fn drop(&mut self) {
        for a in &self.attached {
            if let Some(var) = a.var.get() {
                var.release();
            }
        }
    }
}
