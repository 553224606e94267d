//! Polls servers of grid events on a thread of their own, beside the feeds: what hangs there delays nobody here, and the other
//! way round. The loop is told what came of every poll.

use super::{Message, grid};
use crate::config::Config;
use crate::controller::Input;
use crate::feeds::feed::FeedError;
use crate::feeds::fetch::{Fetcher, Patience, Perform};
use crate::feeds::openadr::{Client, News, client, keep_polling};
use crate::feeds::rounds::Now;
use chrono::Utc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// How often it is looked whether to stop.
const LOOK: Duration = Duration::from_millis(200);

impl From<News> for Message {
    fn from(news: News) -> Self {
        Self::Input(Input::Vtn(Box::new(news)))
    }
}

/// The servers that can be asked, and news of those that cannot. Secrets are read here, once.
pub(super) fn clients(config: &Config) -> (Vec<Client>, Vec<News>) {
    let (mut able, mut unable) = (Vec::new(), Vec::new());
    for vtn in &config.vtns {
        match client(vtn) {
            Ok(client) => able.push(client),
            Err(why) => unable.push(silent(&vtn.name, why)),
        }
    }
    (able, unable)
}

fn silent(vtn: &str, why: String) -> News {
    News { vtn: vtn.to_owned(), shown: Err(FeedError::Misconfigured(why)), circuit_open: false }
}

/// Polls until told to stop. Each server is polled by a task of its own.
pub(super) fn keep_asking(clients: Vec<Client>, config: &Config, loop_: &mpsc::Sender<Message>, stop: &AtomicBool) {
    let names: Vec<String> = clients.iter().map(|client| client.vtn().name.clone()).collect();
    if let Err(why) = ask(clients, grid::seed(config), loop_, stop) {
        // Nobody is asked: that is said of each.
        for name in names {
            drop(loop_.blocking_send(silent(&name, why.clone()).into()));
        }
    }
}

fn ask(clients: Vec<Client>, seed: u64, loop_: &mpsc::Sender<Message>, stop: &AtomicBool) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no server of events is asked ({error})"))?;
    let _inside = runtime.enter();
    let fetcher = Fetcher::new(Patience::default()).map_err(|why| format!("no server of events is asked ({why})"))?;
    let performer: Arc<dyn Perform> = Arc::new(fetcher);
    let now: Now = Arc::new(Utc::now);
    for client in clients {
        runtime.spawn(keep_polling(client, seed, Arc::clone(&performer), Arc::clone(&now), loop_.clone()));
    }
    runtime.block_on(async {
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(LOOK).await;
        }
    });
    // A name that is being looked up cannot be called back; nobody waits for it.
    runtime.shutdown_background();
    Ok(())
}
