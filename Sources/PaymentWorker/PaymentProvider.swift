/// Whoever moves the money. Outside of this system: it can refuse, fail, or never answer.
protocol PaymentProvider: Sendable {
    /// Charges a card once for each idempotency key: asked again with the same key, it gives the same answer and charges
    /// nothing. Throws when there is no answer; then nobody knows whether the card was charged, and one asks again.
    func charge(_ charge: Charge) async throws -> ChargeAnswer

    /// Gives the charge of this key back, once however often it is asked; returns what it knows the refund by. Throws when there is
    /// no answer.
    func refund(chargedWith idempotencyKey: String) async throws -> String
}

/// What a provider is asked for.
struct Charge: Sendable {
    let orderID: String
    let token: String
    let currency: String
    let amount: Int64
    let idempotencyKey: String
}

/// What a provider says.
enum ChargeAnswer: Sendable, Equatable {
    case captured(reference: String)
    case declined(reason: String)
}

/// There is no answer.
struct ProviderError: Error, CustomStringConvertible {
    let description: String
}

/// A provider with a limit on how long an answer may take.
struct ImpatientProvider: PaymentProvider {
    let provider: any PaymentProvider
    let patience: Duration

    func charge(_ charge: Charge) async throws -> ChargeAnswer {
        try await answer { try await provider.charge(charge) }
    }

    func refund(chargedWith idempotencyKey: String) async throws -> String {
        try await answer { try await provider.refund(chargedWith: idempotencyKey) }
    }

    private func answer<Answer: Sendable>(_ ask: @escaping @Sendable () async throws -> Answer) async throws
        -> Answer
    {
        try await withThrowingTaskGroup(of: Answer.self) { tasks in
            tasks.addTask { try await ask() }
            tasks.addTask {
                try await Task.sleep(for: patience)
                throw ProviderError(description: "the payment provider did not answer within \(patience)")
            }
            defer { tasks.cancelAll() }
            guard let answer = try await tasks.next() else { throw CancellationError() }
            return answer
        }
    }
}

/// Whom a rebuild may not ask.
struct SilentProvider: PaymentProvider {
    private let refusal = ProviderError(description: "a rebuild asks no provider")

    func charge(_ charge: Charge) async throws -> ChargeAnswer { throw refusal }

    func refund(chargedWith idempotencyKey: String) async throws -> String { throw refusal }
}
