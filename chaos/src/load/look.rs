//! One who looks: who leads, how semaphores stand, which nodes there are, one after another and each time at the next node.

use super::acts::revision;
use super::{Ground, Stop};
use crate::calls::Caller;
use crate::http::Heard;
use reqwest::Method;
use serde_json::Value;
use std::sync::Arc;
use tenure_chaos::history::{Answer, Op};

/// It asks at 3 nodes in turn: more would show nothing else.
const HOMES: usize = 3;

/// What it looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sight {
    Leader,
    Nodes,
    Semaphore(String),
}

/// One who looks.
pub(super) struct Reader {
    callers: Vec<Caller>,
    sights: Vec<Sight>,
    reads_ms: u64,
}

impl Reader {
    /// None where nobody is to look.
    pub(super) fn new(ground: Ground<'_>) -> anyhow::Result<Option<Self>> {
        let reads_ms = ground.work.reads_ms;
        if reads_ms == 0 {
            return Ok(None);
        }
        let caller = |home: usize| {
            let client = Arc::new((ground.maker)(home)?);
            let name = format!("{}-looks-{home}", ground.name);
            Ok(Caller::new(name, &client, ground.chronicle))
        };
        let callers: anyhow::Result<Vec<Caller>> = (0..HOMES).map(caller).collect();
        let semaphores = ground.work.semaphore.iter();
        let semaphores = semaphores.map(|one| Sight::Semaphore(one.name.clone()));
        Ok(Some(Self {
            callers: callers?,
            sights: [Sight::Leader, Sight::Nodes]
                .into_iter()
                .chain(semaphores)
                .collect(),
            reads_ms,
        }))
    }

    /// Until it is told to stop.
    pub(super) async fn goes_on(mut self, mut stop: Stop) -> anyhow::Result<()> {
        let mut home = 0;
        for sight in self.sights.iter().cycle() {
            stop.pause(self.reads_ms).await;
            if stop.is_told() {
                break;
            }
            let caller = &mut self.callers[home];
            caller.comes_home();
            look(caller, sight).await;
            home = (home + 1) % HOMES;
        }
        Ok(())
    }
}

async fn look(caller: &mut Caller, sight: &Sight) {
    let (path, op) = match sight {
        Sight::Leader => ("/v1/leader".to_owned(), Op::Leader),
        Sight::Semaphore(name) => {
            let path = format!("/v1/semaphores/{name}");
            (path, Op::Semaphore { name: name.clone() })
        }
        Sight::Nodes => {
            // A history has no word for it; that nodes are asked is what counts.
            let _unrecorded = caller.ask(Method::GET, "/v1/nodes", None).await;
            return;
        }
    };
    let call = caller.invoke(op);
    match caller.ask(Method::GET, &path, None).await {
        Heard::Done(said) => caller.done(call, stands(sight, &said)),
        Heard::Refused(refused) => caller.failed(call, refused.why),
        Heard::Nothing(why) => caller.unknown(call, why),
    }
}

fn stands(sight: &Sight, said: &Value) -> Answer {
    let mut answer = revision(said);
    match sight {
        Sight::Leader => {
            let node = said["node"].as_str().map(str::to_owned);
            answer.leads = node.zip(said["term"].as_i64());
        }
        Sight::Semaphore(_) => {
            (answer.limit, answer.held) = (said["limit"].as_u64(), said["held"].as_u64());
        }
        Sight::Nodes => {}
    }
    answer
}
