//! The number of threads: settings, limits of the system, and results that do not depend on it.

use tengen::nn::{Conv2d, Forward, LSTM, Linear, Module, PReLU};
use tengen::ops::{ConvParams, RecurrentParams};
use tengen::optim::{Adam, Optimizer};
use tengen::{DType, GradManager, Result, Tensor, num_threads, ops, random, set_num_threads};
use tengen_kernels::pool;

#[derive(Module)]
struct Net {
    conv: Conv2d,
    act: PReLU,
    lstm: LSTM,
    head: Linear,
}

impl Forward for Net {
    type Input = Tensor;
    type Output = Tensor;
    /// Images `[n, 3, 24, 24]`, whose rows are the steps of the recurrent layer.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.act.call(&self.conv.call(x)?)?;
        let rows = ops::transpose(&x, &[2, 0, 1, 3])?;
        let rows = ops::reshape(&rows, &[24, x.shape()[0], 8 * 24])?;
        let (_, [h, _]) = self.lstm.call(&(rows, None))?;
        self.head.call(&ops::reshape(&h, &[x.shape()[0], 2 * 70])?)
    }
}

/// The parameters after two steps of training.
fn train() -> Result<Vec<Vec<f32>>> {
    random::seed(7);
    let same = ConvParams { padding: (1, 1), ..ConvParams::default() };
    let p = RecurrentParams { bidirectional: true, ..RecurrentParams::new(8 * 24, 70) };
    let net = Net {
        conv: Conv2d::new(3, 8, (3, 3), same)?,
        act: PReLU::new(8, 0.25)?,
        lstm: LSTM::with_params(p)?,
        head: Linear::new(140, 10)?,
    };
    let vars: Vec<_> = net.parameters(true).into_iter().map(|p| p.var().clone()).collect();
    let mut gm = GradManager::new();
    gm.attach_all(&vars)?;
    let mut adam = Optimizer::new(net.parameters(true), Adam::new(0.01))?;
    let x = random::normal(0.0, 1.0, &[12, 3, 24, 24], DType::F32)?;
    for _ in 0..2 {
        gm.scope(|gm| {
            let loss = ops::mean(&ops::square(&net.call(&x)?)?, None, false)?;
            gm.backward(&loss)
        })?;
        adam.step()?;
        adam.clear_grad();
    }
    vars.iter().map(|v| v.get().to_vec::<f32>()).collect()
}

#[test]
fn training_gives_the_same_bits_on_any_number_of_threads() {
    let bits = |threads| {
        let all = pool::with_threads(threads, || train().unwrap());
        all.into_iter().flatten().map(f32::to_bits).collect::<Vec<_>>()
    };
    let one = bits(1);
    for threads in [2, 5] {
        assert!(bits(threads) == one, "{threads} threads");
    }
}

#[test]
fn no_threads_are_an_error() {
    let before = num_threads();
    assert!(set_num_threads(0).unwrap_err().to_string().contains("at least 1"));
    assert_eq!(num_threads(), before);
}

/// Prints the number of threads asked for and taken, in a process that was started with a limit.
#[test]
#[ignore = "run by the tests below, in processes of their own"]
fn print_threads() {
    println!("threads: {} {}", num_threads(), pool::threads());
}

/// What [`print_threads`] prints in a process that `limit` is applied to before it starts.
#[cfg(target_os = "linux")]
fn threads_under(
    number: Option<&str>,
    limit: impl FnMut() -> std::io::Result<()> + Send + Sync + 'static,
) -> String {
    use std::os::unix::process::CommandExt;
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "print_threads", "--ignored", "--nocapture"]);
    child.env_remove("TENGEN_NUM_THREADS");
    child.envs(number.map(|n| ("TENGEN_NUM_THREADS", n)));
    // SAFETY: the limits below only make system calls.
    unsafe { child.pre_exec(limit) };
    let text = String::from_utf8(child.output().unwrap().stdout).unwrap();
    let line = text.lines().find_map(|l| l.split_once("threads: "));
    line.unwrap_or_else(|| panic!("{text}")).1.to_string()
}

#[cfg(target_os = "linux")]
fn one_core() -> std::io::Result<()> {
    // SAFETY: an all-zero set is a value of the type, and the calls write to it alone.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let size = size_of::<libc::cpu_set_t>();
        if libc::sched_getaffinity(0, size, &mut set) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        let first = (0..libc::CPU_SETSIZE as usize).find(|c| libc::CPU_ISSET(*c, &set));
        libc::CPU_ZERO(&mut set);
        libc::CPU_SET(first.unwrap_or(0), &mut set);
        if libc::sched_setaffinity(0, size, &set) != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

#[test]
#[cfg(target_os = "linux")]
fn the_environment_and_the_affinity_decide() {
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(threads_under(None, || Ok(())), format!("{cores} {cores}"));
    assert_eq!(threads_under(Some("1"), || Ok(())), "1 1");
    assert_eq!(threads_under(Some("1000000"), || Ok(())), format!("1000000 {cores}"));
    for ignored in ["0", "-1", "many", ""] {
        assert_eq!(threads_under(Some(ignored), || Ok(())), format!("{cores} {cores}"));
    }
    assert_eq!(threads_under(None, one_core), "1 1");
    assert_eq!(threads_under(Some("4"), one_core), "4 1");
}

/// A control group with the time of one core, removed in the end; none where the system grants none.
#[cfg(target_os = "linux")]
struct Group(std::path::PathBuf);

#[cfg(target_os = "linux")]
impl Group {
    fn new() -> Option<Group> {
        let name = format!("tengen-{}", std::process::id());
        for (root, file, limit) in [
            ("/sys/fs/cgroup", "cpu.max", "100000 100000"),
            ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "100000"),
        ] {
            let group = Group(std::path::Path::new(root).join(&name));
            if std::fs::create_dir(&group.0).is_ok()
                && group.0.join(file).exists()
                && std::fs::write(group.0.join(file), limit).is_ok()
            {
                return Some(group);
            }
        }
        None
    }
}

#[cfg(target_os = "linux")]
impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_control_group_limits_the_threads() {
    use std::io::Write;
    let Some(group) = Group::new() else {
        eprintln!("this system grants no control group; nothing was tested");
        return;
    };
    let mut processes =
        std::fs::OpenOptions::new().write(true).open(group.0.join("cgroup.procs")).unwrap();
    // A process that writes 0 joins the group itself.
    let threads = threads_under(Some("8"), move || processes.write_all(b"0"));
    assert_eq!(threads, "8 1");
}
