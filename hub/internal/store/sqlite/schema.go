package sqlite

import "fmt"

// applicationID marks the file as ours: "SEKI".
const applicationID = 0x53454B49

// migrations bring a database from version i to i+1. A migration that shipped
// is never edited: write the next one.
//
// The tree's hashes are stored in runs, as 2 hashes per row would otherwise be
// two thirds of all inserts; a run fits one page (hashesPerRun).
// Times are nanoseconds since 1970 UTC, saturated; see nanos.
var migrations = []string{`
CREATE TABLE envelopes (
	id       INTEGER PRIMARY KEY,
	device   TEXT NOT NULL,
	epoch    BLOB NOT NULL,
	first    INTEGER NOT NULL,
	count    INTEGER NOT NULL,
	envelope BLOB NOT NULL
) STRICT;

CREATE TABLE ledger (
	idx        INTEGER PRIMARY KEY,
	row        BLOB,
	salt       BLOB,
	event      BLOB,
	event_salt BLOB,
	device     TEXT NOT NULL,
	epoch      BLOB,
	seq        INTEGER NOT NULL,
	at         INTEGER NOT NULL,
	envelope   INTEGER REFERENCES envelopes (id)
) STRICT;
CREATE UNIQUE INDEX ledger_event ON ledger (device, epoch, seq) WHERE seq > 0;

CREATE TABLE tree (
	start  INTEGER PRIMARY KEY,
	hashes BLOB NOT NULL CHECK (length(hashes) > 0 AND length(hashes) % 32 = 0)
) STRICT;

CREATE TABLE checkpoint (
	id   INTEGER PRIMARY KEY CHECK (id = 1),
	size INTEGER NOT NULL,
	note BLOB NOT NULL
) STRICT;

CREATE TRIGGER ledger_no_update    BEFORE UPDATE ON ledger    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_no_delete    BEFORE DELETE ON ledger    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER envelopes_no_update BEFORE UPDATE ON envelopes BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER envelopes_no_delete BEFORE DELETE ON envelopes BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER tree_no_update      BEFORE UPDATE ON tree      BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER tree_no_delete      BEFORE DELETE ON tree      BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER checkpoint_no_back  BEFORE UPDATE ON checkpoint WHEN new.size < old.size
	BEGIN SELECT RAISE(ABORT, 'a checkpoint never gets smaller'); END;
CREATE TRIGGER checkpoint_no_delete BEFORE DELETE ON checkpoint BEGIN SELECT RAISE(ABORT, 'the checkpoint stays'); END;

CREATE TABLE devices (
	device TEXT PRIMARY KEY,
	state  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE master (
	kind    TEXT NOT NULL,
	id      TEXT NOT NULL,
	since   INTEGER NOT NULL,
	deleted INTEGER NOT NULL,
	idx     INTEGER NOT NULL,
	data    BLOB,
	PRIMARY KEY (kind, id, since)
) STRICT, WITHOUT ROWID;

CREATE TABLE register (
	id       INTEGER PRIMARY KEY,
	register TEXT NOT NULL,
	series   TEXT NOT NULL,
	year     INTEGER NOT NULL,
	number   INTEGER NOT NULL,
	key      TEXT NOT NULL,
	room     TEXT NOT NULL,
	person   TEXT NOT NULL,
	door     TEXT NOT NULL,
	kind     TEXT NOT NULL,
	reason   TEXT NOT NULL,
	severity TEXT NOT NULL,
	at       INTEGER NOT NULL,
	until    INTEGER,
	open     INTEGER NOT NULL,
	late     INTEGER NOT NULL,
	idx      INTEGER NOT NULL,
	changed  INTEGER NOT NULL,
	data     BLOB,
	UNIQUE (register, series, year, number)
) STRICT;
CREATE UNIQUE INDEX register_key ON register (register, key) WHERE key <> '';
CREATE INDEX register_at      ON register (register, at);
CREATE INDEX register_room    ON register (register, room, at);
CREATE INDEX register_person  ON register (register, person, at) WHERE person <> '';
CREATE INDEX register_changed ON register (register, changed);
CREATE INDEX register_open    ON register (register, at) WHERE open = 1;

CREATE TABLE counters (
	register TEXT NOT NULL,
	series   TEXT NOT NULL,
	year     INTEGER NOT NULL,
	last     INTEGER NOT NULL,
	PRIMARY KEY (register, series, year)
) STRICT, WITHOUT ROWID;

CREATE TABLE state (
	name  TEXT PRIMARY KEY,
	value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Without figures the planner takes any index for any other. These are of a
-- register of ten million rows.
ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
	('register', 'sqlite_autoindex_register_1', '10000000 5000000 100000 20000 1'),
	('register', 'register_key',     '10000000 5000000 1'),
	('register', 'register_at',      '10000000 5000000 5'),
	('register', 'register_room',    '10000000 5000000 100000 2'),
	('register', 'register_person',  '10000000 5000000 5000 2'),
	('register', 'register_changed', '10000000 5000000 2'),
	('register', 'register_open',    '1000 500 1');
ANALYZE sqlite_schema;
`}

// checkSchema refuses a file this build cannot read.
func checkSchema(c *conn) error {
	version, err := schemaVersion(c)
	if err == nil && version < int64(len(migrations)) {
		err = fmt.Errorf("%w (schema %d, this build %d)", ErrOlder, version, len(migrations))
	}
	return err
}

// migrate brings the schema up to date, one transaction per step.
func migrate(c *conn) error {
	version, err := schemaVersion(c)
	if err != nil {
		return err
	}
	for ; version < int64(len(migrations)); version++ {
		script := fmt.Sprintf("BEGIN IMMEDIATE; %s PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;",
			migrations[version], applicationID, version+1)
		if _, err := c.exec(script); err != nil {
			c.rollback()
			return fmt.Errorf("bring schema from %d to %d: %w", version, version+1, err)
		}
	}
	return nil
}

func schemaVersion(c *conn) (int64, error) {
	id, err := c.int64("PRAGMA application_id")
	if err != nil {
		return 0, err
	}
	tables, err := c.int64("SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return 0, err
	}
	version, err := c.int64("PRAGMA user_version")
	switch {
	case err != nil:
		return 0, err
	case id != applicationID && (tables != 0 || version != 0):
		return 0, ErrAlien
	case version > int64(len(migrations)):
		return 0, fmt.Errorf("%w (schema %d, this build %d)", ErrNewer, version, len(migrations))
	}
	return version, nil
}
