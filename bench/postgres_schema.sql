-- What the peer does for an accrual: remember the request, move the balance, write the journal. It keeps no
-- lines, lots, expiry, rules, receipt claims, hash chain or double entry, all of which the node does: where the
-- two differ in work, this side has less.

create table account (
    id bigint primary key,
    balance bigint not null,
    sequence bigint not null
) with (fillfactor = 70);

create table card (
    number text primary key,
    account_id bigint not null
);

create table journal (
    id bigint generated always as identity (cache 50) primary key,
    account_id bigint not null,
    sequence bigint not null,
    units bigint not null,
    balance bigint not null,
    occurred_time timestamptz not null,
    post_time timestamptz not null,
    receipt_number text not null,
    total_minor bigint not null
);

create table request (
    terminal text not null,
    request_id text not null,
    body_hash bytea not null,
    journal_id bigint not null,
    -- The id first: found by it whatever the planner believes about how many requests one terminal has.
    primary key (request_id, terminal)
);

-- 'posted' (also for a repeated request, with the first answer), 'reused' (same id, other body), 'unknown' (card).
create type outcome as enum ('posted', 'reused', 'unknown');

-- Two calls with one request id that run at the same moment: the second waits for the first on request's primary
-- key and then fails with unique_violation as a whole; its caller calls again and finds the answer.
create function accrue(
    p_terminal text, p_request text, p_hash bytea, p_card text, p_occurred timestamptz, p_receipt text, p_total bigint
) returns table (what outcome, journal_id bigint, units bigint, balance bigint, post_time timestamptz)
language plpgsql as $$
declare
    known record;
    home bigint;
    earned bigint := p_total / 1000;
    new_balance bigint;
    new_sequence bigint;
    entry bigint;
    posted timestamptz := clock_timestamp();
begin
    select r.body_hash, j.id, j.units, j.balance, j.post_time into known
        from request r join journal j on j.id = r.journal_id
        where r.terminal = p_terminal and r.request_id = p_request;
    if found then
        if known.body_hash <> p_hash then
            return query select 'reused'::outcome, null::bigint, null::bigint, null::bigint, null::timestamptz;
        else
            return query select 'posted'::outcome, known.id, known.units, known.balance, known.post_time;
        end if;
        return;
    end if;
    select c.account_id into home from card c where c.number = p_card;
    if not found then
        return query select 'unknown'::outcome, null::bigint, null::bigint, null::bigint, null::timestamptz;
        return;
    end if;
    update account a set balance = a.balance + earned, sequence = a.sequence + 1
        where a.id = home
        returning a.balance, a.sequence into new_balance, new_sequence;
    insert into journal
        (account_id, sequence, units, balance, occurred_time, post_time, receipt_number, total_minor)
        values (home, new_sequence, earned, new_balance, p_occurred, posted, p_receipt, p_total)
        returning id into entry;
    insert into request values (p_terminal, p_request, p_hash, entry);
    return query select 'posted'::outcome, entry, earned, new_balance, posted;
end
$$;

-- Many at once, by sets: one row of the answer for each element, in their order.
create function accrue_many(
    p_terminal text, p_requests text[], p_hashes bytea[], p_cards text[], p_occurred timestamptz[],
    p_receipts text[], p_totals bigint[]
) returns table (what outcome, journal_id bigint, units bigint, balance bigint, post_time timestamptz)
-- Planned anew for each batch (about a millisecond): a generic plan takes every array for ten elements long.
language plpgsql set plan_cache_mode = force_custom_plan as $$
declare
    posted timestamptz := clock_timestamp();
begin
    -- Accounts are locked in one order everywhere, or two batches over the same members would deadlock.
    perform 1 from account a
        where a.id in (select c.account_id from card c where c.number = any (p_cards))
        order by a.id for update;
    return query
    with item as (
        select i.*, row_number() over (partition by i.request_id order by i.position) as occurrence
        from unnest(p_requests, p_hashes, p_cards, p_occurred, p_receipts, p_totals) with ordinality
            as i (request_id, body_hash, card, occurred, receipt, total, position)
    ), known as (
        select r.request_id, r.body_hash, j.id, j.units, j.balance, j.post_time
        from request r join journal j on j.id = r.journal_id
        where r.terminal = p_terminal and r.request_id = any (p_requests)
    ), fresh as (
        select i.position, i.request_id, i.body_hash, i.occurred, i.receipt, i.total, a.id as account_id,
            i.total / 1000 as units,
            a.balance + sum(i.total / 1000) over each_account as balance,
            a.sequence + row_number() over each_account as sequence,
            nextval('journal_id_seq') as id
        from item i
            join card c on c.number = i.card
            join account a on a.id = c.account_id
        where i.occurrence = 1 and not exists (select 1 from known k where k.request_id = i.request_id)
        window each_account as (partition by a.id order by i.position)
    ), moved as (
        update account a set balance = a.balance + f.units, sequence = a.sequence + f.entries
        from (select account_id, sum(fresh.units) as units, count(*) as entries from fresh group by account_id) f
        where a.id = f.account_id
    ), written as (
        insert into journal
            (id, account_id, sequence, units, balance, occurred_time, post_time, receipt_number, total_minor)
        overriding system value
        select f.id, f.account_id, f.sequence, f.units, f.balance, f.occurred, posted, f.receipt, f.total from fresh f
    ), remembered as (
        insert into request select p_terminal, f.request_id, f.body_hash, f.id from fresh f
    ), answer as (
        select k.request_id, k.body_hash, k.id, k.units, k.balance, k.post_time from known k
        union all
        select f.request_id, f.body_hash, f.id, f.units, f.balance, posted from fresh f
    )
    select
        case when s.request_id is null then 'unknown' when s.body_hash <> i.body_hash then 'reused'
            else 'posted' end::outcome,
        s.id, s.units, s.balance::bigint, s.post_time
    from item i left join answer s on s.request_id = i.request_id
    order by i.position;
end
$$;
