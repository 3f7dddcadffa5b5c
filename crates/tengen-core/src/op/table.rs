//! From names to operators.

use super::{FromAttributes, Op, Reader, Value};
use crate::{Result, bail, ensure, ops};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

type Build = fn(&str, &[(String, Value)]) -> Result<Arc<dyn Op>>;

/// The names of one type of operator, and how one is made from its attributes.
pub struct Entry {
    names: &'static [&'static str],
    build: Build,
}

impl Entry {
    /// An operator type and all names that its values have.
    pub const fn of<O: Op + FromAttributes>(names: &'static [&'static str]) -> Entry {
        Entry { names, build: build::<O> }
    }
}

fn build<O: Op + FromAttributes>(
    name: &str,
    attributes: &[(String, Value)],
) -> Result<Arc<dyn Op>> {
    let mut reader = Reader::named(name, attributes);
    let op = O::from_attributes(&mut reader)?;
    reader.finish()?;
    ensure!(op.name() == name, Value, "{name}: these attributes are those of {}", op.name());
    Ok(Arc::new(op))
}

/// Which operators a program can make from files: [`Table::all`], or fewer, so that what it does not
/// name is not linked.
///
/// ```
/// use tengen_core::op::{Table, Value};
/// let slope = [("slope".to_string(), Value::Float(0.1f64.to_bits()))];
/// let op = Table::all().build("leaky_relu", &slope)?;
/// assert_eq!(op.to_string(), "leaky_relu(slope: 0.1)");
/// assert!(Table::all().build("leaky_rely", &slope).is_err());
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub struct Table(HashMap<&'static str, Build>);

impl Table {
    /// The operators of these families, such as [`ops::families::ACTIVATION`].
    pub fn new(families: &[&[&'static [Entry]]]) -> Table {
        let entries = families.iter().copied().flatten().copied().flatten();
        Table(entries.flat_map(|e| e.names.iter().map(|n| (*n, e.build))).collect())
    }

    /// Every operator of this crate.
    pub fn all() -> &'static Table {
        static ALL: LazyLock<Table> = LazyLock::new(|| Table::new(ops::families::ALL));
        &ALL
    }

    /// Whether it has an operator of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The names, sorted.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.0.keys().copied().collect();
        names.sort_unstable();
        names
    }

    /// The operator of a name with these attributes.
    ///
    /// # Errors
    /// Unsupported: the table has no such name. Value: the attributes are not its.
    pub fn build(&self, name: &str, attributes: &[(String, Value)]) -> Result<Arc<dyn Op>> {
        let Some(build) = self.0.get(name) else {
            bail!(Unsupported, "there is no operator {name:?} in this program's table")
        };
        build(name, attributes)
    }
}
