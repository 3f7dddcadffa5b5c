//! Graphs as text, in the order in which they run.

use super::Graph;
use std::fmt;

/// Constants of up to so many elements are printed with their values.
const SHORT: usize = 8;

/// Values with their numbers: `%3, %4`.
fn list(f: &mut fmt::Formatter<'_>, ids: impl IntoIterator<Item = u32>) -> fmt::Result {
    for (i, id) in ids.into_iter().enumerate() {
        write!(f, "{}%{id}", if i == 0 { "" } else { ", " })?;
    }
    Ok(())
}

impl fmt::Display for Graph {
    /// A line for each input, constant and operator, and one for the results:
    ///
    /// ```text
    /// %0: f32[1, 3]
    /// %1 = constant f32[] [-0.5]
    /// %2 = prelu_map(%0, %1): f32[1, 3]
    /// return %2
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, meta) in self.inputs.iter().enumerate() {
            writeln!(f, "%{id}: {meta}")?;
        }
        for (id, t) in (self.inputs.len()..).zip(&self.constants) {
            write!(f, "%{id} = constant {t}")?;
            match t.to_f64_vec() {
                Ok(v) if v.len() <= SHORT => writeln!(f, " {v:?}")?,
                _ => writeln!(f)?,
            }
        }
        for step in &self.steps {
            list(f, step.outputs())?;
            write!(f, " = {}(", step.op.name())?;
            list(f, step.inputs.iter().copied())?;
            for (i, (name, value)) in step.op.attributes().into_iter().enumerate() {
                let before = if i > 0 || !step.inputs.is_empty() { ", " } else { "" };
                write!(f, "{before}{name}: {value}")?;
            }
            f.write_str(")")?;
            for (i, meta) in step.outputs.iter().enumerate() {
                write!(f, "{}{meta}", if i == 0 { ": " } else { ", " })?;
            }
            writeln!(f)?;
        }
        f.write_str("return ")?;
        list(f, self.outputs.iter().copied())
    }
}
