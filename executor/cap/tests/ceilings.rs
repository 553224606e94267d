//! Ceilings beside limits: held, told where they are refused, and given back.

use super::*;

#[test]
fn a_ceiling_is_held_beside_a_limit_or_alone_and_given_back() {
    let mut site = Site::new(500_001);
    site.holder.want(GPU, cap(None, Some(1_200)));
    site.passes(1);
    assert_eq!((site.limit(), site.lock()), (500_001, Some(1_200)));
    let held = site.held();
    assert_eq!((held.requested, held.found, held.clock_ceiling), (None, Some(Watts(500_001)), Some(Megahertz(1_200))));
    assert!(held.is_settled() && held.is_answered(), "{held:?}");
    site.passes(100);
    assert_eq!(site.lock(), Some(1_200), "renewed");
    // A limit comes beside it and goes again: the ceiling stays.
    site.holder.want(GPU, cap(Some(300), Some(1_200)));
    site.passes(1);
    assert_eq!((site.limit(), site.lock()), (300_000, Some(1_200)));
    site.holder.want(GPU, cap(None, Some(1_200)));
    site.passes(1);
    assert_eq!((site.limit(), site.lock(), site.held().is_settled()), (500_001, Some(1_200), true));
    site.holder.want(GPU, watts(400));
    site.passes(6);
    assert_eq!((site.limit(), site.lock(), site.held().is_settled()), (400_000, None, true));
    site.holder.want(GPU, cap(Some(400), Some(900)));
    site.passes(1);
    site.kill_executor();
    assert_eq!(site.held().clock_ceiling, Some(Megahertz(900)), "the next life knows of it");
    site.passes(2);
    assert_eq!((site.limit(), site.lock(), site.holder.held().len()), (500_001, None, 0));
}

#[test]
fn a_ceiling_that_is_refused_is_told_and_leaves_limit_and_job_as_they_are() {
    // An earlier helper, and a board that takes no lock.
    for earlier in [true, false] {
        let mut site = Site::new(500_001);
        site.wire.0.borrow_mut().earlier = earlier;
        site.world.borrow_mut().no_locks = !earlier;
        site.holder.want(GPU, cap(None, Some(1_200)));
        site.passes(60);
        let held = site.held();
        assert_eq!((held.no_clock_ceiling, held.because), (Some(Uncapped::NotSupported), None));
        assert!(held.is_answered() && !held.is_settled());
        assert_eq!(
            (site.limit(), site.lock(), site.asked()),
            (500_001, None, 1),
            "it is not asked for again and again"
        );
        site.holder.want(GPU, cap(Some(300), Some(1_200)));
        site.passes(2);
        assert_eq!((site.limit(), site.lock()), (300_000, None), "the limit is held all the same");
        assert_eq!((site.held().no_clock_ceiling, site.held().because), (Some(Uncapped::NotSupported), None));
        // A lease that ended over it at the driver is asked for anew at once.
        site.holder.want(GPU, cap(Some(250), Some(1_100)));
        site.passes(2);
        assert_eq!((site.limit(), site.held().requested, site.lock()), (250_000, Some(Watts::whole(250)), None));
        let asked = site.asked();
        site.passes(60);
        assert!(site.asked() <= asked + 4, "{} requests in a minute", site.asked() - asked);
        site.holder.want(GPU, None);
        site.passes(2);
        assert_eq!((site.limit(), site.holder.held().len()), (500_001, 0));
    }
}

#[test]
fn whose_token_was_lost_gives_a_ceiling_back_without_touching_the_limit() {
    let mut site = Site::new(500_001);
    site.holder.want(GPU, cap(None, Some(1_200)));
    site.passes(1);
    site.tokens.clear();
    site.kill_executor();
    let sets = site.world.borrow().sets;
    site.holder.orphaned(GPU, cap(None, Some(1_200)).expect("a ceiling"));
    site.passes(3);
    assert_eq!((site.limit(), site.lock(), site.world.borrow().sets), (500_001, None, sets));
}

#[test]
fn tokens_of_an_earlier_version_are_read() {
    let token: Token = serde_json::from_str(r#"{"lease":"1-2","limit":300000}"#).expect("it reads");
    assert_eq!(token, Token { lease: "1-2".into(), limit: Some(Watts::whole(300)), clock_ceiling: None });
}
