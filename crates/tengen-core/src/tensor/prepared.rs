//! Another form of a tensor's value, kept with the tensor: filters, say, in the order in which sums
//! read them.

use crate::{Result, Tensor};
use std::sync::OnceLock;

/// What a form is; tensors keep one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Form {
    /// The operator's name for it.
    pub name: &'static str,
    /// What else it depends on, such as the instruction set that reads it.
    pub key: [usize; 2],
}

/// The form of a tensor's value that was asked for first. It is made when it is asked for once more,
/// so values that serve only once, as weights in training do, are not kept twice.
#[derive(Default)]
pub(crate) struct Prepared(OnceLock<Box<(Form, OnceLock<Tensor>)>>);

impl Prepared {
    /// The value in this form, from the second call on; `None` for the caller to make it for itself.
    ///
    /// # Errors
    /// What `make` gives.
    pub(crate) fn get(
        &self,
        form: Form,
        make: impl FnOnce() -> Result<Tensor>,
    ) -> Result<Option<Tensor>> {
        let Some(kept) = self.0.get() else {
            // Where another thread was first, this call counts as a first one too.
            let _ = self.0.set(Box::new((form, OnceLock::new())));
            return Ok(None);
        };
        if kept.0 != form {
            return Ok(None);
        }
        if let Some(value) = kept.1.get() {
            return Ok(Some(value.clone()));
        }
        let made = make()?;
        Ok(Some(kept.1.get_or_init(|| made).clone()))
    }

    /// Forgets the form, because the value changes.
    pub(crate) fn clear(&mut self) {
        self.0.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_kept_from_the_second_use_until_the_value_changes() {
        let mut x = Tensor::from_slice(&[1.0f32, 2.0], &[2]).unwrap();
        let form = Form { name: "test", key: [0, 1] };
        let get = |x: &Tensor, form: Form, value: f64| {
            let kept = x.prepared().get(form, || Tensor::scalar(value)).unwrap();
            kept.map(|t| t.item().unwrap())
        };
        assert_eq!(get(&x, form, 1.0), None);
        assert_eq!(get(&x, Form { key: [0, 2], ..form }, 2.0), None);
        assert_eq!(get(&x.clone(), form, 3.0), Some(3.0));
        assert_eq!(get(&x, form, 4.0), Some(3.0));
        assert_eq!(get(&x, Form { key: [0, 2], ..form }, 5.0), None);
        x.as_mut_slice::<f32>().unwrap()[0] = 5.0;
        assert_eq!(get(&x, form, 6.0), None);
        assert_eq!(get(&x, form, 7.0), Some(7.0));
    }
}
