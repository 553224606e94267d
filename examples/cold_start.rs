//! How long the tool takes from cold: `--help`, `--version`, and `ls` against a local server.
//!
//! `cargo build --release && cargo run --release --example cold_start`
//!
//! Median and worst of 20 starts each, beside the same for `true`: what starting any program costs here.

use std::io::{Error, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const STARTS: usize = 20;

fn main() -> std::io::Result<()> {
    let dir = tempfile::Builder::new().prefix("neap-cold").tempdir_in(std::env::temp_dir())?;
    let socket = dir.path().join("neap.sock");
    let config = dir.path().join("neap.toml");
    let state = dir.path().join("state");
    std::fs::write(
        &config,
        format!("[server]\nstate_dir = \"{}\"\nsocket = \"{}\"\n", state.display(), socket.display()),
    )?;
    let mut server = Command::new(program()?)
        .args(["serve", "--config"])
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        if Instant::now() > deadline {
            return Err(Error::other("the server does not answer"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let measured = measure(&socket);
    server.kill()?;
    server.wait()?;
    measured
}

fn measure(socket: &Path) -> std::io::Result<()> {
    let out = &mut std::io::stdout();
    writeln!(out, "{STARTS} starts each, standard output to nowhere")?;
    for args in [&[][..], &["--help"], &["--version"], &["ls"]] {
        let mut took = Vec::new();
        for _ in 0..STARTS {
            let mut command = if args.is_empty() { Command::new("true") } else { Command::new(program()?) };
            command.args(args).env("NEAP_SERVER", socket).stdout(Stdio::null()).stderr(Stdio::null());
            let began = Instant::now();
            let status = command.status()?;
            took.push(began.elapsed());
            if !status.success() {
                return Err(Error::other(format!("{args:?} ended with {status}")));
            }
        }
        took.sort_unstable();
        let name = if args.is_empty() { "true (the floor)".to_owned() } else { format!("neap {}", args.join(" ")) };
        let (median, worst) = (took[STARTS / 2], took[STARTS - 1]);
        writeln!(out, "{name:<18} median {:>5.1} ms   worst {:>5.1} ms", millis(median), millis(worst))?;
    }
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn program() -> std::io::Result<PathBuf> {
    let example = std::env::current_exe()?;
    let neap = example.parent().and_then(Path::parent).map(|dir| dir.join("neap"));
    neap.filter(|path| path.exists()).ok_or_else(|| Error::other("build the binary first: cargo build --release"))
}
