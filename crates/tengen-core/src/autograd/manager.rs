//! The gradient manager: which variables get gradients, and when operators are recorded.

use super::tape::{Pause, Session};
use super::var::{Var, WeakVar};
use crate::{Result, Tensor, bail, ensure, ops};

/// Called with a variable and the gradient that a backward pass found for it; what it returns is
/// what is added to the variable's gradient.
pub type Callback = Box<dyn Fn(&Var, Tensor) -> Result<Option<Tensor>> + Send + Sync>;

struct Attached {
    var: WeakVar,
    id: usize,
    callbacks: Vec<Callback>,
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
    attached: Vec<Attached>,
    session: Option<Session>,
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
        let value = var.get();
        ensure!(
            value.dtype().is_float(),
            DType,
            "attach: gradients need floating-point numbers, not {value}"
        );
        self.attached.retain(|a| a.var.get().is_some());
        if let Some(a) = self.attached.iter_mut().find(|a| a.id == var.id()) {
            a.callbacks.extend(callbacks);
            return Ok(self);
        }
        var.attach();
        self.attached.push(Attached { var: var.downgrade(), id: var.id(), callbacks });
        if let Some(session) = &self.session {
            session.watch(var.id(), &value);
        }
        Ok(self)
    }

    /// The attached variables that still exist.
    pub fn attached(&self) -> Vec<Var> {
        self.attached.iter().filter_map(|a| a.var.get()).collect()
    }

    /// Whether operators are being recorded for this manager.
    pub fn is_recording(&self) -> bool {
        self.session.is_some()
    }

    /// Starts recording on this thread.
    ///
    /// # Errors
    /// Value: this manager records already.
    pub fn record(&mut self) -> Result<()> {
        ensure!(self.session.is_none(), Value, "record: already recording");
        let session = Session::start();
        for var in self.attached() {
            session.watch(var.id(), &var.get());
        }
        self.session = Some(session);
        Ok(())
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
        let Some(session) = self.session.take() else {
            bail!(Value, "backward: nothing is recorded; call record() first, and backward() once")
        };
        ensure!(session.is_here(), Value, "backward: recording was started on another thread");
        let pause = (!session.is_nested()).then(Pause::new);
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
        let vars: Vec<(Var, usize)> =
            self.attached.iter().enumerate().filter_map(|(i, a)| Some((a.var.get()?, i))).collect();
        let wanted: Vec<u32> = vars.iter().map(|(v, _)| session.watch(v.id(), &v.get())).collect();
        let grads = session.backward(&pairs, &wanted)?;
        for ((var, i), grad) in vars.into_iter().zip(grads) {
            let device = var.with(Tensor::device);
            let mut grad = grad.map(|g| g.to_device(device));
            for callback in &self.attached[i].callbacks {
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
            match (var.grad(), pause.is_some()) {
                (Some(old), true) => old.replace(sum),
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
