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
        try ledger.lock("charge \(charge.idempotencyKey)")
        let known = try ledger.query(
            "SELECT attempts, status, reference FROM charges WHERE idempotency_key = $1",
            .text(charge.idempotencyKey)
        ).first
        let reference = known?.text("reference") ?? ""
        switch known?.text("status") {
        case "captured": return .captured(reference: reference)
        case "declined": return .declined(reason: reference)
        default: break
        }
        let attempts = (known?.integer("attempts") ?? 0) + 1
        let answer: ChargeAnswer? =
            switch charge.token {
            case "tok_timeout": nil
            case "tok_flaky" where attempts == 1: nil
            case "tok_declined": .declined(reason: "card_declined")
            default: .captured(reference: "emb_\(charge.orderID)")
            }
        let (status, text) =
            switch answer {
            case .captured(let reference): ("captured", reference)
            case .declined(let reason): ("declined", reason)
            case nil: ("unknown", "")
            }
        try ledger.enqueue(
            """
            INSERT INTO charges (idempotency_key, order_id, currency, amount_minor, attempts, status, reference,
              updated_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            ON CONFLICT (idempotency_key) DO UPDATE SET attempts = excluded.attempts, status = excluded.status,
              reference = excluded.reference, updated_at = excluded.updated_at
            """,
            .text(charge.idempotencyKey), .text(charge.orderID), .text(charge.currency),
            .integer(charge.amount),
            .integer(attempts), .text(status), .text(text), .text(Timestamp.now().description))
        return answer
    }
}
