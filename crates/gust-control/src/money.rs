//! Usage, bills and budgets: the ledger's answers in the words of the API.

mod lines;

use gust_api::usage as wire;
use gust_meter::{
    Bill, Budget, GroupBy, Money, Month, Period, RecordQuery, Totals, UsageQuery, bill::Cost,
};
use gust_task::clock;
use gust_types::{Error, ProjectName, Result};

use crate::{control::Control, store::money};

/// Rows of one answer.
const MAX_ROWS: usize = 50_000;
/// Records of one answer.
const MAX_RECORDS: u32 = 10_000;

impl Control {
    /// What calls took, summed as asked; without a project those of all projects.
    pub async fn usage(
        &self,
        project: Option<ProjectName>,
        query: wire::UsageQuery,
    ) -> Result<wire::UsageReport> {
        self.must_have_if(project.as_ref()).await?;
        let now_us = clock::unix_micros();
        let from_us = query
            .from_us
            .unwrap_or_else(|| Month::of(now_us).start_us());
        let until_us = query.until_us.unwrap_or(now_us);
        if from_us >= until_us {
            return Err(Error::invalid("the time asked for ends before it begins"));
        }
        let rows = self
            .0
            .parts
            .ledger
            .usage(UsageQuery {
                project: project.clone(),
                app: query.app,
                function: query.function,
                from_us,
                until_us,
                period: period(query.period.unwrap_or_default()),
                by: group_by(query.by.unwrap_or_default()),
                limit: MAX_ROWS,
            })
            .await?;
        let mut total = Totals::default();
        rows.iter().for_each(|row| total.add(&row.totals));
        let rows = rows.into_iter().map(|row| wire::UsageRow {
            start_us: row.start_us,
            project: row.project,
            app: row.app,
            function: row.function,
            totals: totals(&row.totals),
        });
        Ok(wire::UsageReport {
            project,
            from_us,
            until_us,
            rows: rows.collect(),
            total: totals(&total),
        })
    }

    /// What single calls took, newest first; without a project those of all projects.
    pub async fn records(
        &self,
        project: Option<ProjectName>,
        query: wire::RecordQuery,
    ) -> Result<wire::Records> {
        self.must_have_if(project.as_ref()).await?;
        let records = self
            .0
            .parts
            .ledger
            .records(RecordQuery {
                project,
                app: query.app,
                function: query.function,
                since_us: 0,
                limit: query.limit.unwrap_or(100).min(MAX_RECORDS) as usize,
            })
            .await?;
        Ok(wire::Records { records })
    }

    /// What a month costs; without a project for all projects together.
    pub async fn bill(
        &self,
        project: Option<ProjectName>,
        query: wire::BillQuery,
    ) -> Result<wire::Bill> {
        self.must_have_if(project.as_ref()).await?;
        let month: Month = match &query.month {
            Some(text) => text.parse()?,
            None => Month::of(clock::unix_micros()),
        };
        let asked = UsageQuery {
            project: project.clone(),
            ..UsageQuery::month(month)
        };
        let rows = self.0.parts.ledger.usage(asked).await?;
        let bill = Bill::of(rows, &self.0.parts.prices);
        let lines = lines::summed(bill.lines, query.by.unwrap_or_default());
        let lines = lines.into_iter().map(|line| wire::BillLine {
            project: line.project,
            app: line.app,
            function: line.function,
            usage: totals(&line.usage),
            cost: cost(&line.cost),
            total: line.total.to_string(),
        });
        Ok(wire::Bill {
            project,
            month: month.to_string(),
            currency: bill.currency,
            lines: lines.collect(),
            total: bill.total.to_string(),
        })
    }

    async fn must_have_if(&self, project: Option<&ProjectName>) -> Result<()> {
        match project {
            Some(project) => self.must_have(project).await,
            None => Ok(()),
        }
    }

    /// A project's budget and how much of it is used.
    pub async fn budget(&self, project: &ProjectName) -> Result<wire::BudgetState> {
        self.must_have(project).await?;
        let month = Month::of(clock::unix_micros());
        let months = self.0.parts.ledger.month(month);
        let used = months.into_iter().find(|(p, _)| p == project);
        let used = used.map(|(_, totals)| totals).unwrap_or_default();
        let spent = Cost::of(&used, &self.0.parts.prices).total();
        let budget = self
            .0
            .keeper
            .budgets()
            .into_iter()
            .find(|(p, _)| p == project);
        let budget = budget.map(|(_, budget)| budget);
        Ok(wire::BudgetState {
            project: project.clone(),
            month: month.to_string(),
            budget: budget.map(|b| wire::Budget {
                monthly: b.monthly.to_string(),
                warn_percent: Some(b.warn_percent),
            }),
            spent: spent.to_string(),
            currency: self.0.parts.prices.currency.clone(),
            standing: budget.map_or(wire::Standing::Ok, |b| standing(b.decide(spent))),
        })
    }

    /// Sets or lifts a project's budget; in force when this answers.
    pub async fn set_budget(
        &self,
        project: &ProjectName,
        budget: Option<wire::Budget>,
    ) -> Result<wire::BudgetState> {
        let budget = budget.map(parse_budget).transpose()?;
        let name = project.clone();
        self.0
            .store
            .write(move |db| money::set(db, &name, budget))
            .await?;
        self.0.keeper.set(project.clone(), budget);
        self.0.keeper.evaluate(clock::unix_micros());
        self.budget(project).await
    }
}

fn parse_budget(budget: wire::Budget) -> Result<Budget> {
    let monthly: Money = budget.monthly.parse()?;
    if monthly.nanos() > i64::MAX as u64 {
        return Err(Error::invalid(format!(
            "a budget that large is none: {monthly}"
        )));
    }
    let mut parsed = Budget::monthly(monthly);
    if let Some(percent) = budget.warn_percent {
        if !(1..=100).contains(&percent) {
            return Err(Error::invalid(format!(
                "warn at 1 to 100 percent: {percent}"
            )));
        }
        parsed.warn_percent = percent;
    }
    Ok(parsed)
}

/// What a budget says of itself in the status.
pub(crate) fn budget_warnings(control: &Control) -> Vec<String> {
    let all = control.0.keeper.assess(clock::unix_micros());
    let say = |found: &gust_meter::Assessment| {
        let gust_meter::Assessment {
            project,
            spent,
            budget,
            currency,
            ..
        } = found;
        match found.standing {
            gust_meter::Standing::Ok => None,
            gust_meter::Standing::Warn => Some(format!(
                "project {project} has spent {spent} of its budget of {budget} {currency}"
            )),
            gust_meter::Standing::Refuse => found.refusal(),
        }
    };
    all.iter().filter_map(say).collect()
}

fn period(period: wire::Period) -> Period {
    match period {
        wire::Period::Minute => Period::Minute,
        wire::Period::Hour => Period::Hour,
        wire::Period::Month => Period::Month,
        wire::Period::Whole => Period::Whole,
    }
}

fn group_by(by: wire::GroupBy) -> GroupBy {
    match by {
        wire::GroupBy::Project => GroupBy::Project,
        wire::GroupBy::App => GroupBy::App,
        wire::GroupBy::Function => GroupBy::Function,
    }
}

fn standing(standing: gust_meter::Standing) -> wire::Standing {
    match standing {
        gust_meter::Standing::Ok => wire::Standing::Ok,
        gust_meter::Standing::Warn => wire::Standing::Warn,
        gust_meter::Standing::Refuse => wire::Standing::Refuse,
    }
}

fn cost(cost: &Cost) -> wire::Cost {
    wire::Cost {
        calls: cost.calls.to_string(),
        memory: cost.memory.to_string(),
        cpu: cost.cpu.to_string(),
        bytes_in: cost.bytes_in.to_string(),
        bytes_out: cost.bytes_out.to_string(),
        kv: cost.kv.to_string(),
        sql: cost.sql.to_string(),
        http_out: cost.http_out.to_string(),
    }
}

/// Field by field, so that a new sum is not forgotten on the wire.
fn totals(from: &Totals) -> wire::Totals {
    let Totals {
        calls,
        wall_us,
        cpu_us,
        memory_mb_ms,
        bytes_in,
        bytes_out,
        kv,
        sql,
        http_out,
        cold,
        warm,
        reused,
        uninstanced,
        ok,
        failed,
        cpu_limit,
        wall_limit,
        memory_limit,
        body_limit,
        cancelled,
        platform,
        queue_us,
        map_us,
        link_us,
        instantiate_us,
        first_byte_us,
        unkept,
    } = *from;
    wire::Totals {
        calls,
        wall_us,
        cpu_us,
        memory_mb_ms,
        bytes_in,
        bytes_out,
        kv,
        sql,
        http_out,
        cold,
        warm,
        reused,
        uninstanced,
        ok,
        failed,
        cpu_limit,
        wall_limit,
        memory_limit,
        body_limit,
        cancelled,
        platform,
        queue_us,
        map_us,
        link_us,
        instantiate_us,
        first_byte_us,
        unkept,
    }
}
