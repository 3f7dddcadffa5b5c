//! Layers one after the other.

use super::base::Base;
use super::field::Field;
use super::module::{Forward, Layer, Member, Module, describe};
use tengen_core::{Result, Tensor};

/// Layers, each of which takes what the one before gives. They are named by number, or by the names
/// that they are given.
///
/// ```
/// use tengen::nn::{Forward, Linear, Module, PReLU, Sequential};
/// use tengen::{DType, Tensor};
/// let net = Sequential::new().push(Linear::new(4, 8)?).push(PReLU::new(1, 0.25)?).push(Linear::new(8, 2)?);
/// assert_eq!(*net.call(&Tensor::ones(&[3, 4], DType::F32)?)?.shape(), [3, 2]);
/// assert_eq!(net.named_parameters("", true)[2].0, "1.weight");
/// # Ok::<(), tengen::Error>(())
/// ```
#[derive(Default)]
pub struct Sequential {
    layers: Vec<(String, Box<dyn Layer>)>,
    base: Base,
}

impl Sequential {
    /// Without layers: what it is given is what it gives.
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// With one more layer at the end, named by its number.
    #[must_use]
    pub fn push(self, layer: impl Layer + 'static) -> Sequential {
        let name = self.layers.len().to_string();
        self.push_named(name, layer)
    }

    /// With one more layer at the end, under a name.
    #[must_use]
    pub fn push_named(
        mut self,
        name: impl Into<String>,
        layer: impl Layer + 'static,
    ) -> Sequential {
        self.layers.push((name.into(), Box::new(layer)));
        self
    }

    /// The number of layers.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The layer at a place.
    pub fn get(&self, index: usize) -> Option<&dyn Layer> {
        self.layers.get(index).map(|(_, l)| &**l)
    }

    /// The layers in order, with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &dyn Layer)> {
        self.layers.iter().map(|(n, l)| (n.as_str(), &**l))
    }
}

impl Module for Sequential {
    fn base(&self) -> &Base {
        &self.base
    }
    fn visit<'a>(&'a self, visit: &mut dyn FnMut(&str, Member<'a>)) {
        let mut layers: Vec<_> = self.layers.iter().collect();
        layers.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, layer) in layers {
            layer.visit_field(name, visit);
        }
    }
    fn as_module(&self) -> &dyn Module {
        self
    }
    fn type_name(&self) -> &'static str {
        "Sequential"
    }
    fn describe(&self) -> String {
        // In the order of computation, not of names.
        describe(self, self.iter().map(|(n, l)| (n.to_string(), l.as_module())))
    }
}

impl super::field::Field for Sequential {
    fn visit_field<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&str, Member<'a>)) {
        visit(name, Member::Module(self));
    }
}

impl super::field::Anchor for Sequential {
    fn anchor(&self) -> &Base {
        &self.base
    }
}

impl Forward for Sequential {
    type Input = Tensor;
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for (_, layer) in &self.layers {
            x = layer.call(&x)?;
        }
        Ok(x)
    }
}
