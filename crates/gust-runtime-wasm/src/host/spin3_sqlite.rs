//! `spin:sqlite/sqlite@3.1.0`, which is 3.0.0 and an async twin of each of its functions.

use futures::StreamExt as _;
use wasmtime::component::{Accessor, Resource};

use super::{
    Ours, View,
    rows::{self, Ends},
    sql::{self, Allowed, Database, Refusal, Session},
    wit::spin3::spin::sqlite3_1_0::sqlite::{
        Error, Host, HostConnection, HostConnectionWithStore, QueryResult, RowResult, Value,
    },
};
use crate::guest::Guest;

type Answer<T> = wasmtime::Result<Result<T, Error>>;

sql::translate!(super::wit::spin3::spin::sqlite3_1_0::sqlite);

impl Host for View<'_> {}

impl HostConnection for View<'_> {
    async fn open(&mut self, database: String) -> Answer<Resource<Database>> {
        let opened = match Allowed::find(self, &database) {
            Ok(allowed) => allowed.connect().await,
            Err(refusal) => Err(refusal),
        };
        match opened {
            Ok(database) => Ok(Ok(self.table.push(database)?)),
            Err(refusal) => Ok(Err(refusal.into())),
        }
    }

    async fn execute(
        &mut self,
        connection: Resource<Database>,
        statement: String,
        parameters: Vec<Value>,
    ) -> Answer<QueryResult> {
        let session = self.session(&connection)?;
        let table = session
            .collect(&statement, sql::parameters(parameters))
            .await;
        Ok(table.map(QueryResult::from).map_err(Error::from))
    }

    async fn last_insert_rowid(&mut self, connection: Resource<Database>) -> wasmtime::Result<i64> {
        let session = self.table.get(&connection)?.session();
        Ok(session.effect().await.last_insert_rowid)
    }

    async fn changes(&mut self, connection: Resource<Database>) -> wasmtime::Result<u64> {
        let session = self.table.get(&connection)?.session();
        Ok(session.effect().await.changes)
    }

    async fn drop(&mut self, connection: Resource<Database>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

fn session(
    guest: &Accessor<Guest, Ours>,
    connection: &Resource<Database>,
) -> wasmtime::Result<Session> {
    guest.with(|mut guest| Ok(guest.get().table.get(connection)?.session()))
}

impl HostConnectionWithStore<Guest> for Ours {
    async fn open_async(
        guest: &Accessor<Guest, Self>,
        database: String,
    ) -> Answer<Resource<Database>> {
        let allowed = guest.with(|mut guest| Allowed::find(&guest.get(), &database));
        let opened = match allowed {
            Ok(allowed) => allowed.connect().await,
            Err(refusal) => Err(refusal),
        };
        match opened {
            Ok(database) => guest.with(|mut guest| Ok(Ok(guest.get().table.push(database)?))),
            Err(refusal) => Ok(Err(refusal.into())),
        }
    }

    async fn execute_async(
        guest: &Accessor<Guest, Self>,
        connection: Resource<Database>,
        statement: String,
        parameters: Vec<Value>,
    ) -> Answer<(
        Vec<String>,
        wasmtime::component::StreamReader<RowResult>,
        wasmtime::component::FutureReader<Result<(), Error>>,
    )> {
        let session = guest.with(|mut guest| guest.get().session(&connection))?;
        let found = session.run(&statement, sql::parameters(parameters)).await;
        let found = match found {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let rows = found.rows.map(|row| {
            row.map(RowResult::from)
                .map_err(|e| Refusal::of_a_row(e).into())
        });
        let (rows, end): Ends<RowResult, Error> = rows::ends(guest, rows.boxed())?;
        Ok(Ok((found.columns, rows, end)))
    }

    async fn last_insert_rowid_async(
        guest: &Accessor<Guest, Self>,
        connection: Resource<Database>,
    ) -> wasmtime::Result<i64> {
        let session = session(guest, &connection)?;
        Ok(session.effect().await.last_insert_rowid)
    }

    async fn changes_async(
        guest: &Accessor<Guest, Self>,
        connection: Resource<Database>,
    ) -> wasmtime::Result<u64> {
        let session = session(guest, &connection)?;
        Ok(session.effect().await.changes)
    }
}
