//! The workloads against what they promise: the same bits at every width and after every pause, and a name for whoever is missing.

use super::checkpoint::{State, load_model, save_model};
use super::collective::{Alone, Collective, Ring};
use super::digits::{self, CLASSES, PIXELS};
use super::infer::{InferOptions, join, range, shard, shard_path};
use super::network::{BATCH, Network, draw, order, parameters};
use super::sealed::Fnv;
use super::signals::{Stop, kind};
use super::train::{TrainOptions, listeners, run};
use super::{EXIT_PAUSED, EXIT_TERMINATED, KernelError};
use std::cell::Cell;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Duration;

fn go_on() -> Stop {
    Stop::Not
}

/// Ten epochs with the default seed, and what was printed.
fn trained() -> &'static (State, String) {
    static TRAINED: OnceLock<(State, String)> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let options = TrainOptions::default();
        let mut out = Vec::new();
        let (code, state) =
            run(&options, options.begin().expect("fresh"), &mut Alone, &go_on, &mut out).expect("trains");
        assert_eq!(code, 0);
        (state, String::from_utf8(out).expect("text"))
    })
}

/// The same options on `workers` threads over the real ring; every rank's end.
fn ring_run(options: &TrainOptions, workers: usize, ask: impl Fn(usize) -> Stop + Sync) -> Vec<(u8, State)> {
    let (listeners, peers) = listeners(workers).expect("loopback");
    thread::scope(|scope| {
        let ranks: Vec<_> = listeners
            .iter()
            .enumerate()
            .map(|(rank, listener)| {
                let (peers, ask) = (&peers, &ask);
                scope.spawn(move || {
                    let mut ring = Ring::join(listener, rank, peers, 7, Duration::from_secs(20)).expect("joins");
                    let state = options.begin().expect("begins");
                    run(options, state, &mut ring, &|| ask(rank), &mut Vec::new()).expect("runs")
                })
            })
            .collect();
        ranks.into_iter().map(|r| r.join().expect("no panic")).collect()
    })
}

#[test]
fn the_data_is_the_published_data() {
    assert_eq!((digits::TEXT.len(), Fnv::of(digits::TEXT.as_bytes())), (120_399, 0xa7d1_c127_2991_76c1));
    let all = digits::all();
    assert_eq!(all.len(), digits::COUNT);
    let count = |label| all.iter().filter(|d| d.label == label).count();
    assert_eq!((0..10).map(count).collect::<Vec<_>>(), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    assert_eq!(all[0].pixels[..8], [0.0, 0.0, 5.0, 13.0, 9.0, 1.0, 0.0, 0.0]);
}

#[test]
fn ten_epochs_recognise_97_percent() {
    let (state, printed) = trained();
    let accuracy = state.network.accuracy(digits::all());
    assert!(accuracy >= 0.97, "{accuracy}");
    assert_eq!((state.adam.step, state.epoch, state.position), (570, 10, 0));
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines.len(), 11);
    assert!(lines[2].starts_with("epoch  3/10  loss "), "{}", lines[2]);
    assert_eq!(lines[10], format!("done  570 steps  accuracy {accuracy:.4} on the 1797 training images"));
}

/// The loss of one image in double precision, written without the code under test.
fn loss_in_f64(weights: &[f64], hidden: usize, digit: &digits::Digit) -> f64 {
    let w2 = PIXELS * hidden + hidden;
    let units: Vec<f64> = (0..hidden)
        .map(|j| {
            let sum: f64 = (0..PIXELS).map(|p| f64::from(digit.pixels[p]) * weights[p * hidden + j]).sum();
            (sum + weights[PIXELS * hidden + j]).max(0.0)
        })
        .collect();
    let logit = |c: usize| {
        (0..hidden).map(|j| units[j] * weights[w2 + j * CLASSES + c]).sum::<f64>() + weights[w2 + hidden * CLASSES + c]
    };
    (0..CLASSES).map(|c| logit(c).exp()).sum::<f64>().ln() - logit(usize::from(digit.label))
}

#[test]
fn gradients_are_what_finite_differences_say() {
    const HIDDEN: usize = 6;
    let network = Network::new(HIDDEN, 3);
    let images = &digits::all()[10..14];
    let mut gradient = vec![0.0; parameters(HIDDEN)];
    let loss = network.lane(images.iter(), &mut gradient);
    let mut weights: Vec<f64> = network.weights().iter().map(|&w| f64::from(w)).collect();
    let total = |weights: &[f64]| images.iter().map(|d| loss_in_f64(weights, HIDDEN, d)).sum::<f64>();
    assert!((f64::from(loss) - total(&weights)).abs() < 1e-4 * total(&weights));
    for i in 0..weights.len() {
        let (here, step) = (weights[i], 1e-6);
        weights[i] = here + step;
        let up = total(&weights);
        weights[i] = here - step;
        let slope = (up - total(&weights)) / (2.0 * step);
        weights[i] = here;
        assert!((f64::from(gradient[i]) - slope).abs() < 1e-3 * (1.0 + slope.abs()), "{i}: {} {slope}", gradient[i]);
    }
    assert!(gradient.iter().filter(|g| **g != 0.0).count() > gradient.len() / 4);
}

#[test]
fn every_width_ends_with_the_same_bits() {
    let options = TrainOptions { epochs: 1, hidden: 24, seed: 5, ..TrainOptions::default() };
    let alone = run(&options, options.begin().expect("fresh"), &mut Alone, &go_on, &mut Vec::new()).expect("trains");
    for workers in [2, 4, 8] {
        for (rank, end) in ring_run(&options, workers, |_| Stop::Not).into_iter().enumerate() {
            assert!(end.1.mark() == alone.1.mark() && end.0 == 0, "rank {rank} of {workers}");
        }
    }
}

#[test]
fn a_pause_anywhere_and_another_width_change_no_bit() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("run.ckpt");
    let mut options = TrainOptions { epochs: 2, hidden: 16, checkpoint: Some(path.clone()), ..TrainOptions::default() };
    let through = run(&options, options.begin().expect("fresh"), &mut Alone, &go_on, &mut Vec::new()).expect("trains");
    options.resume = true;
    std::fs::remove_file(&path).expect("saved at each epoch's end");

    let asked = Cell::new(0);
    let at_step_20 = || {
        asked.set(asked.get() + 1);
        if asked.get() == 20 { Stop::Pause } else { Stop::Not }
    };
    let paused =
        run(&options, options.begin().expect("fresh"), &mut Alone, &at_step_20, &mut Vec::new()).expect("pauses");
    assert_eq!((paused.0, paused.1.adam.step, paused.1.position as usize), (EXIT_PAUSED, 20, 20 * BATCH));

    // Only one of two ranks hears SIGTERM; both leave after that step.
    let ends = ring_run(&options, 2, |rank| if rank == 1 { Stop::Terminate } else { Stop::Not });
    assert!(ends.iter().all(|(code, state)| (*code, state.adam.step) == (EXIT_TERMINATED, 21)));
    assert_eq!(State::load(&path).expect("saved"), ends[0].1);

    let resumed = ring_run(&options, 4, |_| Stop::Not);
    assert!(resumed.iter().all(|(code, state)| *code == 0 && state.mark() == through.1.mark()));
    let other = TrainOptions { seed: 9, ..options };
    assert!(matches!(other.begin(), Err(KernelError::OtherRun { what: "the seed", theirs: 1, ours: 9, .. })));
}

#[test]
fn without_a_checkpoint_a_pause_is_not_claimed() {
    let options = TrainOptions { epochs: 1, hidden: 4, ..TrainOptions::default() };
    let begin = || options.begin().expect("fresh");
    let end = run(&options, begin(), &mut Alone, &|| Stop::Pause, &mut Vec::new()).expect("trains");
    assert_eq!((end.0, end.1.epoch), (0, 1));
    let end = run(&options, begin(), &mut Alone, &|| Stop::Terminate, &mut Vec::new()).expect("ends");
    assert_eq!((end.0, end.1.adam.step), (EXIT_TERMINATED, 1));
}

/// Four ranks, of which number 2 joins and then does `leave`, which can wait until nobody else is there any more; what
/// the others say. Number `late` begins to wait half a silence after them.
fn without_rank_2(silence: Duration, late: usize, leave: impl Fn(Ring, Receiver<()>) + Sync) -> Vec<String> {
    let (listeners, peers) = listeners(4).expect("loopback");
    let (here, others) = channel();
    let others = Mutex::new(Some(others));
    thread::scope(|scope| {
        let join = |(rank, listener)| {
            let (peers, leave, others, here) = (&peers, &leave, &others, here.clone());
            scope.spawn(move || {
                let mut ring = Ring::join(listener, rank, peers, 7, Duration::from_secs(20)).expect("joins");
                if rank == 2 {
                    drop(here);
                    leave(ring, others.lock().expect("not poisoned").take().expect("one number 2"));
                    return None;
                }
                ring.silence_is(silence);
                if rank == late {
                    thread::sleep(silence / 2);
                }
                let mut all = Vec::new();
                Some((0..3).find_map(|_| ring.all_gather(&[1.0; 1000], &mut all).err()).expect("fails").to_string())
            })
        };
        let ranks: Vec<_> = listeners.iter().enumerate().map(join).collect();
        drop(here);
        ranks.into_iter().filter_map(|r| r.join().expect("no panic")).collect()
    })
}

#[test]
fn a_dead_worker_is_named_by_all() {
    assert_eq!(without_rank_2(Duration::from_secs(10), 2, |ring, _| drop(ring)), ["worker 2 is lost"; 3]);
}

#[test]
fn a_silent_worker_is_named_by_all_however_late_they_began_to_wait() {
    let hold = |ring, others: Receiver<()>| {
        let _ = others.recv();
        drop(ring);
    };
    for late in [0, 1, 3] {
        assert_eq!(without_rank_2(Duration::from_secs(2), late, hold), ["worker 2 is lost"; 3], "late: {late}");
    }
}

#[test]
fn a_stranger_does_not_get_into_the_ring() {
    let (listeners, peers) = listeners(2).expect("loopback");
    thread::scope(|scope| {
        let join = |rank: usize, token| {
            let (listener, peers) = (&listeners[rank], &peers);
            scope.spawn(move || Ring::join(listener, rank, peers, token, Duration::from_millis(400)).err())
        };
        let (ours, theirs) = (join(0, 1), join(1, 2));
        let text = |e: Option<KernelError>| e.expect("refused").to_string();
        assert_eq!(text(ours.join().expect("no panic")), "worker 1 did not join the ring within 0 s");
        assert_eq!(text(theirs.join().expect("no panic")), "worker 0 did not join the ring within 0 s");
    });
}

#[test]
fn a_damaged_file_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("run.ckpt");
    let state = State::new(3, 1);
    state.save(&path).expect("saves");
    assert_eq!(State::load(&path).expect("whole"), state);
    let whole = std::fs::read(&path).expect("reads");
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&path, &bytes).expect("writes");
        assert!(matches!(State::load(&path), Err(KernelError::Damaged { .. })), "byte {at}");
        std::fs::write(&path, &whole[..at]).expect("writes");
        assert!(matches!(State::load(&path), Err(KernelError::Damaged { .. })), "cut at {at}");
    }
    save_model(&state.network, &path).expect("saves");
    assert_eq!(load_model(&path).expect("whole"), state.network);
    assert!(matches!(State::load(&path), Err(KernelError::Damaged { .. })), "a model is no checkpoint");
}

#[test]
fn ranges_are_joined_in_order_and_finished_ones_are_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let (model, output) = (dir.path().join("m.bin"), dir.path().join("out.csv"));
    let network = &trained().0.network;
    save_model(network, &model).expect("saves");
    let options = InferOptions {
        model: model.clone(),
        images: 2000,
        workers: 3,
        rank: None,
        output: Some(output.clone()),
        json: false,
    };
    let work = |rank, stop: &dyn Fn() -> Stop| shard(&options, &output, rank, stop).expect("works");
    assert_eq!(work(2, &go_on), Stop::Not);
    assert_eq!(work(1, &|| Stop::Pause), Stop::Pause);
    assert!(!shard_path(&output, 1).exists());
    assert!(matches!(join(&options, &output), Err(KernelError::Read { .. })));
    assert!(!output.exists());
    // A finished range is not computed again: nobody is asked whether to stop.
    assert_eq!(work(2, &|| panic!("computed twice")), Stop::Not);
    assert_eq!((work(0, &go_on), work(1, &go_on)), (Stop::Not, Stop::Not));
    let right = join(&options, &output).expect("joins");
    let text = std::fs::read_to_string(&output).expect("reads");
    let mut active = Vec::new();
    let expected: Vec<String> = (0..2000)
        .map(|i| (i, &digits::all()[i % digits::COUNT]))
        .map(|(i, d)| format!("{i},{},{}", d.label, network.classify(&d.pixels, &mut active)))
        .collect();
    assert_eq!(text.lines().next(), Some("index,label,predicted"));
    assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), expected);
    let matches = expected.iter().filter(|l| l.as_bytes()[l.len() - 1] == l.as_bytes()[l.len() - 3]).count();
    assert_eq!(right, matches);
    assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 2);
    // A range by another model is not taken for this one's.
    work(0, &go_on);
    save_model(&Network::new(8, 2), &model).expect("saves");
    assert!(matches!(join(&options, &output), Err(KernelError::Damaged { .. })));
}

#[test]
fn ranges_cover_every_index_once() {
    for (images, workers) in [(0, 1), (0, 5), (1, 3), (1797, 8), (10, 10)] {
        let all: Vec<usize> = (0..workers).flat_map(|rank| range(images, workers, rank)).collect();
        assert_eq!(all, (0..images).collect::<Vec<_>>());
    }
}

#[test]
fn every_epoch_has_its_own_order_of_the_same_images() {
    let (first, second) = (order(1, 0, 1797), order(1, 1, 1797));
    assert!(first != second && first != order(2, 0, 1797) && first == order(1, 0, 1797));
    let mut sorted = second;
    sorted.sort_unstable();
    assert_eq!(sorted, (0..1797).collect::<Vec<_>>());
    assert_ne!(draw(1, 2, 3), draw(1, 3, 2));
}

#[test]
fn options_become_a_command_line_and_bad_ones_a_refusal() {
    let options = TrainOptions {
        workers: 2,
        rank: Some(1),
        peers: vec!["127.0.0.1:1".parse().expect("an address"), "127.0.0.1:2".parse().expect("an address")],
        pace: Some(150.0),
        resume: true,
        ..TrainOptions::default()
    };
    let line: Vec<_> = options.args().into_iter().map(|a| a.into_string().expect("text")).collect();
    assert_eq!(
        line.join(" "),
        "kernel train --workers 2 --epochs 10 --hidden 64 --seed 1 --device auto --rank 1 --peers 127.0.0.1:1,127.0.0.1:2 --pace 150 --resume"
    );
    let refused = |change: fn(&mut TrainOptions)| {
        let mut options = TrainOptions::default();
        change(&mut options);
        super::train(&options, &mut Vec::new()).expect_err("refused").to_string()
    };
    assert_eq!(refused(|o| o.device = "cuda".into()), "this build has no CUDA kernels yet");
    assert_eq!(refused(|o| o.device = "tpu".into()), "unknown device \"tpu\" (auto, cpu)");
    assert_eq!(refused(|o| o.workers = 3), "3 workers cannot share 8 lanes evenly (1, 2, 4 or 8)");
    assert_eq!(refused(|o| o.workers = 16), "16 workers cannot share 8 lanes evenly (1, 2, 4 or 8)");
    assert_eq!(refused(|o| o.pace = Some(f64::NAN)), "--pace must be 0.1 to 1000000 steps per second, not NaN");
    assert_eq!(refused(|o| o.rank = Some(1)), "rank 1 with 0 peer addresses does not fit 1 workers");
    assert_eq!(kind("usr2"), kind("SIGUSR2"));
    assert!(kind("SIGNOTHING").is_none() && kind("0").is_none() && kind("10").is_some());
}
