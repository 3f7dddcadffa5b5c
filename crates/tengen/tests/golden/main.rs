//! Every golden case: what MegEngine answers, by the README in the folder of the recordings.

mod case;
mod elementwise;
mod functions;
mod index;
mod layers;
mod losses;
mod modules;
mod networks;
mod optim;
mod recurrent;
mod reduce;
mod shape;

use case::{Case, Family, Outcome};

/// Cases that make no sense here, with the reason.
const LEFT_OUT: [(&str, &str); 0] = [];

/// Runs every case of a family, and fails with all that went wrong.
fn run(name: &str, check: fn(&Case) -> Outcome) {
    let family = Family::load(name);
    let mut failures = Vec::new();
    for case in family.cases() {
        if LEFT_OUT.iter().any(|(left_out, _)| *left_out == case.name()) {
            continue;
        }
        if let Err(problem) = check(&case) {
            failures.push(format!("{}: {problem}", case.name()));
        }
    }
    let n = family.cases().count();
    assert!(failures.is_empty(), "{} of {n} cases:\n{}", failures.len(), failures.join("\n"));
    assert!(n > 0, "{name} has no cases");
}

macro_rules! families {
    ($($name:ident: $check:path;)*) => {$(
        #[test]
        fn $name() {
            run(stringify!($name), $check);
        }
    )*};
}

mod family {
    use super::{functions, modules, optim, run};
    families! {
        elementwise: functions::check;
        reduce: functions::check;
        linalg: functions::check;
        conv: functions::check;
        pool: functions::check;
        norm: functions::check;
        shape: functions::check;
        index: functions::check;
        loss: functions::check;
        module: modules::check;
        recurrent: modules::check;
        optim: optim::check;
    }
}
