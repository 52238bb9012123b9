internal import Freshet
internal import FreshetRecords

/// A payment provider for demonstrations: declines `tok_declined`, fails once and then recovers for `tok_flaky`, never
/// answers for `tok_timeout`, and captures everything else.
///
/// It stands for a system of its own, so it has a ledger of its own: keys it has seen are remembered whatever happens to
/// the worker, and several workers share it.
struct EmbeddedProvider: PaymentProvider {
    private let ledger: any Records

    static let migrations = [
        Migration(
            1, "ledger",
            [
                """
                CREATE TABLE charges (
                  idempotency_key TEXT PRIMARY KEY, order_id TEXT NOT NULL, currency TEXT NOT NULL,
                  amount_minor BIGINT NOT NULL, attempts INTEGER NOT NULL, status TEXT NOT NULL, reference TEXT NOT NULL,
                  updated_at TEXT NOT NULL)
                """
            ]),
        Migration(2, "refunds", ["ALTER TABLE charges ADD COLUMN refunded_minor BIGINT NOT NULL DEFAULT 0"]),
    ]

    init(ledger: any Records) async throws {
        self.ledger = ledger
        try await ledger.migrate(Self.migrations, of: "provider")
    }

    func charge(_ charge: Charge) async throws -> ChargeAnswer {
        let answer = try await ledger.transaction { try Self.charge(charge, $0) }
        switch answer {
        case .some(let answer): return answer
        case .none where charge.token == "tok_timeout":
            try await Task.sleep(for: .seconds(3600))
            throw ProviderError(description: "no answer")
        case .none: throw ProviderError(description: "the payment provider is not available")
        }
    }

    func refund(chargedWith idempotencyKey: String) async throws -> String {
        try await ledger.transaction { ledger in
            try ledger.lock("charge \(idempotencyKey)")
            let charge = try ledger.query(
                "SELECT status, reference FROM charges WHERE idempotency_key = $1", .text(idempotencyKey)
            ).first
            guard let charge, charge.text("status") == "captured" else {
                throw ProviderError(description: "there is no captured charge '\(idempotencyKey)'")
            }
            try ledger.execute(
                "UPDATE charges SET refunded_minor = amount_minor, updated_at = $1 WHERE idempotency_key = $2",
                .text(Timestamp.now().description), .text(idempotencyKey))
            return "refund_\(charge.text("reference") ?? "")"
        }
    }

    /// Nil for no answer.
    private static func charge(_ charge: Charge, _ ledger: any RecordsTransaction) throws -> ChargeAnswer? {
        let captured = ("captured", "emb_\(charge.orderID)")
        // What it says to the first question and, when that was nothing, to the next ones.
        let (first, later) =
            switch charge.token {
            case "tok_timeout": (("unknown", ""), ("unknown", ""))
            case "tok_flaky": (("unknown", ""), captured)
            case "tok_declined": (("declined", "card_declined"), ("declined", "card_declined"))
            default: (captured, captured)
            }
        let row = try ledger.query(
            """
            INSERT INTO charges (idempotency_key, order_id, currency, amount_minor, attempts, status, reference,
              updated_at)
            VALUES ($1, $2, $3, $4, 1, $5, $6, $7)
            ON CONFLICT (idempotency_key) DO UPDATE SET
              attempts = charges.attempts + 1,
              status = CASE WHEN charges.status = 'unknown' THEN $8 ELSE charges.status END,
              reference = CASE WHEN charges.status = 'unknown' THEN $9 ELSE charges.reference END,
              updated_at = excluded.updated_at
            RETURNING status, reference
            """,
            .text(charge.idempotencyKey), .text(charge.orderID), .text(charge.currency),
            .integer(charge.amount), .text(first.0), .text(first.1), .text(Timestamp.now().description),
            .text(later.0), .text(later.1)
        ).first
        let reference = row?.text("reference") ?? ""
        return switch row?.text("status") {
        case "captured": .captured(reference: reference)
        case "declined": .declined(reason: reference)
        default: nil
        }
    }
}
