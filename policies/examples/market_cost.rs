//! What a market costs to solve on this machine: `cargo run --release -p neap-policies --example market_cost [JOBS]`.
//!
//! Made-up jobs of whole widths in whole slots, five zones, seven days of quarter hours. Prints the time from nothing to a
//! plan with its bound, the gap between them, late GPU-hours, the bytes of the answer a job, and what one more job costs.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "it measures time and prints what it measured")]

use neap_policies::certificate::check;
use neap_policies::market::{Desk, Effort, Grain, Market, Menu, Room, Shares, insert, solve, synthetic};
use std::time::Instant;

fn measure(jobs: usize, multiple: f64, audit: bool) {
    let market = synthetic(jobs, 5, 1, multiple);
    let effort = Effort { grain: Grain::Whole, ..Effort::default() };
    let begin = Instant::now();
    let solution = solve(&market, effort, None);
    let took = begin.elapsed().as_secs_f64();
    let gap = 100.0 * (solution.cost / solution.bound - 1.0);
    let bytes = solution.shares.iter().map(Shares::bytes).sum::<usize>() / jobs;
    println!(
        "{jobs:>8} jobs, {multiple:.2}x: {took:.3} s, gap {gap:.2} %, late {:.2} GPUh, {bytes} bytes of answer a job",
        solution.late_gpu_hours
    );
    if audit {
        assert_eq!(check(&market, &solution), vec![], "the audit finds nothing");
    }
    one_more(&market, &solution.shares, &solution.prices);
}

/// The last hundred jobs taken out and inserted again, one by one.
fn one_more(market: &Market, shares: &[Shares], prices: &neap_policies::market::Prices) {
    let last = shares.len() - 100;
    let mut fewer = shares.to_vec();
    fewer[last..].fill(Shares::default());
    let mut room = Room::left(market, Grain::Whole, &fewer);
    let menus = Menu::all(market, prices, 1.0);
    let mut desk = Desk::default();
    let begin = Instant::now();
    for task in &market.tasks[last..] {
        std::hint::black_box(insert(market, &menus[task.class], &mut room, task, &mut desk));
    }
    println!("          one more job: {:.1} µs", begin.elapsed().as_secs_f64() * 1e4);
}

fn main() {
    let only: Option<usize> = std::env::args().nth(1).and_then(|jobs| jobs.parse().ok());
    for jobs in only.map_or_else(|| vec![10_000, 100_000], |jobs| vec![jobs]) {
        for multiple in [1.25, 1.5, 2.0] {
            measure(jobs, multiple, jobs <= 100_000);
        }
    }
}
