-- A database as version 1 of the schema made it, in SQLite: a job of three chunks, of which one has succeeded at its
-- second attempt, and one was running when its coordinator died.
CREATE TABLE heliostat_attempt (
    job INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (job, idx, number)
) WITHOUT ROWID;
INSERT INTO heliostat_attempt VALUES(1,0,1,'failed','{"index":0,"number":1,"attemptId":"0/1","state":"failed","startedAt":1765432109.5,"endedAt":1765432110.0,"cause":"command_failed","message":"exit status 3"}');
INSERT INTO heliostat_attempt VALUES(1,0,2,'succeeded','{"index":0,"number":2,"attemptId":"0/2","state":"succeeded","startedAt":1765432109.5,"endedAt":1765432111.0,"framesDone":2.0,"result":{"exitCode":0,"duration":1.0}}');
INSERT INTO heliostat_attempt VALUES(1,1,1,'running','{"index":1,"number":1,"attemptId":"1/1","state":"running","startedAt":1765432109.5}');
CREATE TABLE heliostat_chunk (
    job INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    position INTEGER,
    PRIMARY KEY (job, idx),
    CONSTRAINT heliostat_chunk_counted CHECK ((state = 'succeeded') = (position IS NOT NULL))
) WITHOUT ROWID;
INSERT INTO heliostat_chunk VALUES(1,0,'0','succeeded',2,1);
INSERT INTO heliostat_chunk VALUES(1,1,'1','running',1,NULL);
INSERT INTO heliostat_chunk VALUES(1,2,'2','pending',0,NULL);
CREATE TABLE heliostat_job (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    total_chunks INTEGER NOT NULL,
    settings TEXT NOT NULL,
    worker TEXT,
    error TEXT,
    metrics TEXT NOT NULL,
    output TEXT,
    created_at DOUBLE NOT NULL,
    updated_at DOUBLE NOT NULL,
    wish TEXT,
    lease_owner TEXT,
    lease_until DOUBLE,
    UNIQUE (id)
);
INSERT INTO heliostat_job VALUES(1,'old','running',3,'{"concurrency":1,"retryDelay":0.0}',NULL,NULL,'{"attempts":3,"retries":1,"failures":{"command_failed":1},"framesDone":2.0}',NULL,1.77260076789101099969e+09,1.7956270300850396156e+09,NULL,NULL,NULL);
CREATE TABLE heliostat_schema (
    version INTEGER NOT NULL
);
INSERT INTO heliostat_schema VALUES(1);
CREATE TABLE heliostat_spec (
    job INTEGER NOT NULL,
    part INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (job, part)
);
INSERT INTO heliostat_spec VALUES(1,0,X'7801AB56CA4D2D494C492C4954B2AA562AC92F49CC712B4ACC4D2D56B232D3514A2B00D24626B53A4AC919A579D9404E74AC8E521E505EC94A292D332757A91600D5F91564');
INSERT INTO heliostat_spec VALUES(1,1,X'78018BAE56CA4C51B232D0512A2E492C2A712B4ACC4D0573D3402CE7FCD2BC12252B231DA5FCD29282D212B7CC1CA0AC92811E90ABA4A3949C9F9B9B9807D41EAD5452549AAA145BAB0331CE10D538A07E7CC61912320EA81FD97526F88D33C2695C2C00FAD04D6D');
CREATE UNIQUE INDEX heliostat_chunk_position ON heliostat_chunk (job, position) WHERE position IS NOT NULL;
CREATE INDEX heliostat_chunk_state ON heliostat_chunk (job, state, idx) WHERE state = 'running' OR state = 'failed';
CREATE INDEX heliostat_attempt_running ON heliostat_attempt (job, state, idx, number) WHERE state = 'running';
