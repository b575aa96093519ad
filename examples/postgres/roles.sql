-- Least privileges for evalkit on PostgreSQL 13 or later.
--
--   evalkit_owner    owns the tables and triggers; used by `evalkit db upgrade` and by nobody else
--   evalkit_server   `evalkit server --no-jobs`: reads and writes rows; cannot change tables, triggers or the audit's past
--   evalkit_worker   `evalkit worker`: evaluates and decides; cannot move aliases, set policies, approve or see tokens
--   evalkit_reader   dashboards: reads, and sees neither users, tokens nor webhooks
--
-- 1. As a superuser, in the database of evalkit:   psql -d mlflow -f roles.sql
--    It also gives the database and its schema to evalkit_owner.
-- 2. Give each role a password:                    psql -d mlflow -c '\password evalkit_owner' (and so on)
-- 3. As evalkit_owner:                             evalkit db upgrade --auth
-- 4. Again, as a superuser or evalkit_owner:       psql -d mlflow -f roles.sql
--    Steps 3 and 4 are repeated after every upgrade of evalkit or MLflow: new tables are closed until then.

\set ON_ERROR_STOP on
BEGIN;

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['evalkit_owner', 'evalkit_server', 'evalkit_worker', 'evalkit_reader'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION', role);
        END IF;
    END LOOP;
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('ALTER DATABASE %I OWNER TO evalkit_owner', current_database());
        ALTER SCHEMA public OWNER TO evalkit_owner;
    END IF;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I TO evalkit_server, evalkit_worker, evalkit_reader', current_database());
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO evalkit_server, evalkit_worker, evalkit_reader;

-- From nothing, so that a table that was given too much once is put right
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, evalkit_server, evalkit_worker, evalkit_reader;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, evalkit_server, evalkit_worker, evalkit_reader;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC, evalkit_server, evalkit_worker, evalkit_reader;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO evalkit_server, evalkit_worker;

DO $$
DECLARE
    name text;
    -- Rows are added and never changed
    appended CONSTANT text[] := ARRAY['evalkit_audit'];
    -- Which revision the tables are at
    versions CONSTANT text[] := ARRAY['alembic_version', 'alembic_version_auth', 'evalkit_alembic_version'];
    -- The gate's own: only the server writes them
    gate CONSTANT text[] := ARRAY['evalkit_policies', 'evalkit_approvals', 'evalkit_grants', 'evalkit_holders'];
    -- Who may what: only the server sees them
    identity CONSTANT text[] := ARRAY['evalkit_user_roles', 'evalkit_tokens'];
    -- Where events go, with the names of their secrets: the worker delivers, the server edits
    addresses CONSTANT text[] := ARRAY['evalkit_webhooks'];
    -- Of MLflow's tables, what the worker and dashboards read; users and webhooks are not among them
    shown CONSTANT text[] := ARRAY[
        'registered_models', 'registered_model_tags', 'registered_model_aliases', 'model_versions',
        'model_version_tags', 'experiments', 'experiment_tags', 'runs', 'tags', 'params', 'metrics', 'latest_metrics'];
    -- Durable steps, what applications tell, and replies of judges: `evalkit db upgrade` makes them
    beside CONSTANT text[] := ARRAY['evalkit_jobs', 'evalkit_ingest', 'evalkit_judges'];
    own boolean;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        own := name LIKE 'evalkit\_%';
        IF name = ANY (versions) THEN
            EXECUTE format('GRANT SELECT ON %I TO evalkit_server, evalkit_worker, evalkit_reader', name);
        ELSIF name = ANY (appended) THEN
            EXECUTE format('GRANT SELECT, INSERT ON %I TO evalkit_server, evalkit_worker', name);
            EXECUTE format('GRANT SELECT ON %I TO evalkit_reader', name);
        ELSE
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO evalkit_server', name);
            IF own AND name = ANY (gate) THEN
                EXECUTE format('GRANT SELECT ON %I TO evalkit_worker, evalkit_reader', name);
            ELSIF own AND name = ANY (addresses) THEN
                EXECUTE format('GRANT SELECT ON %I TO evalkit_worker', name);
            ELSIF own AND NOT name = ANY (identity) THEN
                EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO evalkit_worker', name);
                EXECUTE format('GRANT SELECT ON %I TO evalkit_reader', name);
            ELSIF name = ANY (shown) THEN
                EXECUTE format('GRANT SELECT ON %I TO evalkit_worker, evalkit_reader', name);
            END IF;
        END IF;
    END LOOP;
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspname = ANY (beside) LOOP
        EXECUTE format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', name);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO evalkit_server, evalkit_worker', name);
        EXECUTE format(
            'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO evalkit_server, evalkit_worker', name);
        EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO evalkit_server, evalkit_worker', name);
    END LOOP;
END
$$;

COMMIT;
