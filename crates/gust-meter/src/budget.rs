//! Budgets: a warning at a share of the sum, refusal at the sum. The decision is a pure function of money.

use std::{collections::HashMap, sync::Arc, time::Duration};

use gust_task::{Reconcile, clock};
use gust_types::{BoxFuture, ProjectName, Result};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{Ledger, Money, Month, Prices, bill::Cost};

/// What a project may cost in a calendar month (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The sum. Calls are refused once it is reached; 0 refuses every call.
    pub monthly: Money,
    /// Warn at this share of it, in percent. Default 80.
    #[serde(default = "warn_percent")]
    pub warn_percent: u32,
}

fn warn_percent() -> u32 {
    80
}

/// Where a project stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Below the warning.
    Ok,
    /// Between the warning and the sum.
    Warn,
    /// At the sum or above: further calls are refused.
    Refuse,
}

/// Where a project stands, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessment {
    /// The project.
    pub project: ProjectName,
    /// The month that is counted.
    pub month: Month,
    /// The decision.
    pub standing: Standing,
    /// Spent so far this month.
    pub spent: Money,
    /// What may be spent.
    pub budget: Money,
    /// Of both.
    pub currency: String,
}

// === impl Budget ===

impl Budget {
    /// A budget with the usual warning.
    pub fn monthly(sum: Money) -> Self {
        Self {
            monthly: sum,
            warn_percent: warn_percent(),
        }
    }

    /// Where a project stands that has spent this much.
    pub fn decide(&self, spent: Money) -> Standing {
        if spent >= self.monthly {
            Standing::Refuse
        } else if spent >= self.monthly.percent(self.warn_percent) {
            Standing::Warn
        } else {
            Standing::Ok
        }
    }
}

// === impl Assessment ===

impl Assessment {
    /// What a refused caller is told; `None` unless refused.
    pub fn refusal(&self) -> Option<String> {
        let Self {
            project,
            month,
            budget,
            currency,
            ..
        } = self;
        (self.standing == Standing::Refuse).then(|| {
            format!("the budget of project {project} for {month} is used up: {budget} {currency}")
        })
    }
}

/// Tells, within a second of a crossing, which projects are over their budgets.
///
/// Drive it with `gust_task::reconcile::drive` at [`BudgetKeeper::PERIOD`]. `tell` hears of a project when its standing
/// changes, when its budget is taken away, and at the first run after a start if it is not [`Standing::Ok`].
pub struct BudgetKeeper {
    ledger: Arc<dyn Ledger>,
    tell: Box<dyn Fn(&Assessment) + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    prices: Prices,
    budgets: HashMap<ProjectName, Budget>,
    told: HashMap<ProjectName, Standing>,
}

impl BudgetKeeper {
    /// How often to evaluate: with what the ledger holds in memory, a crossing is told well within a second.
    pub const PERIOD: Duration = Duration::from_millis(250);

    /// A keeper without budgets.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        prices: Prices,
        tell: impl Fn(&Assessment) + Send + Sync + 'static,
    ) -> Self {
        Self {
            ledger,
            tell: Box::new(tell),
            state: Mutex::new(State {
                prices,
                budgets: HashMap::new(),
                told: HashMap::new(),
            }),
        }
    }

    /// Sets or removes a project's budget. Heard at the next evaluation.
    pub fn set(&self, project: ProjectName, budget: Option<Budget>) {
        let mut state = self.state.lock();
        match budget {
            Some(budget) => state.budgets.insert(project, budget),
            None => state.budgets.remove(&project),
        };
    }

    /// The budgets in force.
    pub fn budgets(&self) -> Vec<(ProjectName, Budget)> {
        let state = self.state.lock();
        let mut all: Vec<_> = state.budgets.iter().map(|(p, b)| (p.clone(), *b)).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// Where each project with a budget stands at this moment.
    pub fn assess(&self, now_us: u64) -> Vec<Assessment> {
        let month = Month::of(now_us);
        let used: HashMap<_, _> = self.ledger.month(month).into_iter().collect();
        let state = self.state.lock();
        let mut all: Vec<_> = state
            .budgets
            .iter()
            .map(|(project, budget)| {
                let usage = used.get(project).copied().unwrap_or_default();
                let spent = Cost::of(&usage, &state.prices).total();
                Assessment {
                    project: project.clone(),
                    month,
                    standing: budget.decide(spent),
                    spent,
                    budget: budget.monthly,
                    currency: state.prices.currency.clone(),
                }
            })
            .collect();
        all.sort_by(|a, b| a.project.cmp(&b.project));
        all
    }

    /// Assesses and tells of changes; answers them.
    pub fn evaluate(&self, now_us: u64) -> Vec<Assessment> {
        let mut changes = self.assess(now_us);
        {
            let mut state = self.state.lock();
            let dropped = dropped(&state, now_us);
            changes.retain(|a| {
                let before = state.told.insert(a.project.clone(), a.standing);
                before.unwrap_or(Standing::Ok) != a.standing
            });
            dropped.iter().for_each(|a| {
                state.told.remove(&a.project);
            });
            changes.extend(dropped.into_iter().filter(|a| a.standing == Standing::Ok));
        }
        for change in &changes {
            say(change);
            (self.tell)(change);
        }
        changes
    }
}

fn say(change: &Assessment) {
    let Assessment {
        project,
        spent,
        budget,
        currency,
        ..
    } = change;
    match change.standing {
        Standing::Ok => {
            tracing::info!(%project, %spent, %budget, currency, "a budget is fine again")
        }
        Standing::Warn => {
            tracing::warn!(%project, %spent, %budget, currency, "a budget is nearly spent")
        }
        Standing::Refuse => {
            tracing::warn!(%project, %spent, %budget, currency, "a budget is spent: calls are refused")
        }
    }
}

/// Projects that were told of and have no budget any more: they are fine again.
fn dropped(state: &State, now_us: u64) -> Vec<Assessment> {
    let gone = state
        .told
        .keys()
        .filter(|p| !state.budgets.contains_key(*p));
    gone.map(|project| Assessment {
        project: project.clone(),
        month: Month::of(now_us),
        standing: Standing::Ok,
        spent: Money::ZERO,
        budget: Money::ZERO,
        currency: state.prices.currency.clone(),
    })
    .collect()
}

impl Reconcile for BudgetKeeper {
    fn name(&self) -> &'static str {
        "budgets"
    }

    fn reconcile(&self) -> BoxFuture<'_, Result<String>> {
        Box::pin(async move {
            let changes = self.evaluate(clock::unix_micros());
            let budgets = self.state.lock().budgets.len();
            Ok(format!("{budgets} budgets, {} changes", changes.len()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryLedger, Meter as _, suite};

    #[test]
    fn standing_follows_the_shares() {
        let budget = Budget::monthly("10".parse().unwrap());
        for (spent, standing) in [
            ("0", Standing::Ok),
            ("7.999999999", Standing::Ok),
            ("8", Standing::Warn),
            ("9.999999999", Standing::Warn),
            ("10", Standing::Refuse),
            ("11", Standing::Refuse),
        ] {
            assert_eq!(budget.decide(spent.parse().unwrap()), standing, "{spent}");
        }
        assert_eq!(
            Budget::monthly(Money::ZERO).decide(Money::ZERO),
            Standing::Refuse
        );
    }

    #[test]
    fn the_keeper_tells_each_crossing_once_and_forgives_with_the_month() {
        let ledger = Arc::new(MemoryLedger::default());
        let told = Arc::new(Mutex::new(Vec::new()));
        let keeper = BudgetKeeper::new(ledger.clone(), Prices::default(), {
            let told = told.clone();
            move |a: &Assessment| told.lock().push((a.standing, a.refusal().is_some()))
        });
        let project = ProjectName::default_project();
        // 200 nanos a call with default prices and nothing else used.
        keeper.set(
            project.clone(),
            Some(Budget::monthly(Money::from_nanos(2000))),
        );
        let now = Month::new(2026, 11).unwrap().start_us() + 5;
        let call = |n: u64| {
            for _ in 0..n {
                ledger.record(suite::bare_usage("app", "f", now));
            }
        };
        call(7);
        assert!(keeper.evaluate(now).is_empty());
        call(1);
        assert_eq!(keeper.evaluate(now)[0].standing, Standing::Warn);
        assert!(keeper.evaluate(now).is_empty(), "told once");
        call(2);
        keeper.evaluate(now);
        assert_eq!(
            *told.lock(),
            [(Standing::Warn, false), (Standing::Refuse, true)]
        );
        let next = Month::of(now).next().start_us();
        assert_eq!(keeper.evaluate(next)[0].standing, Standing::Ok);
        keeper.evaluate(now);
        keeper.set(project, None);
        assert_eq!(keeper.evaluate(now)[0].standing, Standing::Ok);
        assert!(keeper.evaluate(now).is_empty());
        assert_eq!(told.lock().len(), 5);
    }
}
