//! `spin:sqlite/sqlite@3.0.0`.

use wasmtime::component::Resource;

use super::{
    View,
    sql::{self, Allowed, Database},
    wit::spin32::spin::sqlite3_0_0::sqlite::{Error, Host, HostConnection, QueryResult, Value},
};

type Answer<T> = wasmtime::Result<Result<T, Error>>;

sql::translate!(super::wit::spin32::spin::sqlite3_0_0::sqlite);

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
