//! A scheduler that is not heard: leases run out by themselves, and are taken again once it is.

use super::*;

const SAFE: OnLoss = OnLoss::SafeCap(Watts::whole(250));

/// A GPU at 300 W, whose scheduler is heard for the last time so many seconds after its lease was renewed.
fn held(on_loss: OnLoss, since: u64) -> Site {
    let mut site = Site::with(500_001, on_loss);
    site.holder.want(GPU, watts(300));
    site.passes(1 + since);
    assert_eq!(site.limit(), 300_000);
    site.heard = false;
    site
}

#[test]
fn leases_end_within_their_term_and_ten_seconds_of_the_schedulers_last_word() {
    for (on_loss, left) in [(OnLoss::Restore, 500_001), (SAFE, 250_000)] {
        for since in 0..40 {
            let mut site = held(on_loss, since);
            site.passes(45);
            assert_eq!((site.limit(), site.held().because), (300_000, None), "{since} s: it may only start anew");
            let asked = site.asked();
            site.passes(25);
            assert_eq!((site.limit(), site.asked()), (left, asked), "{since} s: it ended by itself");
            let held = site.held();
            assert_eq!((held.because, held.requested), (Some(Uncapped::NoScheduler), None));
            assert!(!held.is_settled() && held.is_answered(), "{held:?}");
            // However long: nobody is asked for anything.
            site.passes(3_600);
            assert_eq!((site.limit(), site.asked()), (left, asked));
            site.heard = true;
            site.passes(1);
            assert_eq!((site.limit(), site.held().because, site.held().is_settled()), (300_000, None, true));
            site.passes(300);
            assert_eq!(site.limit(), 300_000, "and renewed");
        }
    }
}

#[test]
fn a_scheduler_that_only_starts_anew_changes_no_limit() {
    for since in 0..40 {
        let mut site = held(OnLoss::Restore, since);
        let set = site.world.borrow().sets;
        site.passes(45);
        site.heard = true;
        site.passes(120);
        assert_eq!((site.limit(), site.world.borrow().sets), (300_000, set), "{since} s");
    }
}

#[test]
fn nothing_is_asked_for_nor_changed_while_it_is_away_and_what_ends_is_given_back() {
    let mut site = held(OnLoss::Restore, 0);
    site.passes(12);
    site.holder.want(GPU, watts(200));
    site.passes(3);
    assert_eq!(site.limit(), 300_000, "nobody is there who could want it");
    site.holder.want(GPU, None);
    site.passes(1);
    assert_eq!(site.limit(), 500_001, "its job ended");
    site.holder.want(GPU, watts(200));
    site.passes(90);
    assert_eq!((site.limit(), site.held().because), (500_001, Some(Uncapped::NoScheduler)));
}

#[test]
fn an_executor_that_starts_meanwhile_does_not_renew_what_it_finds() {
    let mut site = held(SAFE, 15);
    site.passes(30);
    site.kill_executor();
    site.holder.want(GPU, watts(300));
    site.passes(40);
    assert_eq!(site.limit(), 250_000, "its start is no word of the scheduler's");
    site.heard = true;
    site.passes(1);
    assert_eq!(site.limit(), 300_000);
    // And one that starts in time goes on with its lease.
    site.heard = false;
    site.passes(20);
    let set = site.world.borrow().sets;
    site.kill_executor();
    site.holder.want(GPU, watts(300));
    site.passes(10);
    site.heard = true;
    site.passes(120);
    assert_eq!((site.limit(), site.world.borrow().sets), (300_000, set));
}

#[test]
fn a_ceiling_ends_with_its_lease_too() {
    let mut site = Site::new(500_001);
    site.holder.want(GPU, cap(None, Some(1_200)));
    site.passes(1);
    site.heard = false;
    site.passes(70);
    assert_eq!((site.lock(), site.held().clock_ceiling), (None, None));
    site.heard = true;
    site.passes(1);
    assert_eq!((site.lock(), site.held().is_settled()), (Some(1_200), true));
}
