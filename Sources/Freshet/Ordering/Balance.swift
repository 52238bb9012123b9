/// How a topic's partitions are shared out among the live consumers of a group. Each consumer decides for itself, from what
/// all of them say they own; leases see to it that two that decide differently for a moment do no harm.
struct Balance {
    /// A live consumer, and the partitions that it says are its own.
    struct Member: Equatable {
        let name: ConsumerName
        let owned: Set<Int>
        /// It takes nothing more, and gives back what it has.
        var isLeaving = false
    }

    /// What one consumer is to give up, and what it may take.
    struct Plan: Equatable {
        var give: [Int] = []
        var take: [Int] = []
        /// What nobody owns, whoever is to take it.
        var free: Set<Int> = []
        /// Whether others are to give something to this consumer: it looks again soon.
        var isWaiting = false
    }

    /// Everybody gets the same number, or one more: those who have most keep the one more, so that little moves.
    ///
    /// - Parameters:
    ///   - givable: which of its own this consumer would give, those first that cost least; nil is all of them, the last first.
    ///   - abandoned: what nobody has owned for so long that whoever was to take it must be dead. Anyone takes it
    ///   then, however many that makes.
    static func plan(
        for name: ConsumerName, among members: [Member], partitions: Int, givable: [Int]? = nil,
        abandoned: Set<Int> = []
    ) -> Plan {
        let staying = members.filter { !$0.isLeaving }
        guard let own = staying.first(where: { $0.name == name }) else { return Plan() }
        let (share, rest) = partitions.quotientAndRemainder(dividingBy: staying.count)
        let byWealth = staying.sorted { ($1.owned.count, $0.name) < ($0.owned.count, $1.name) }
        let rank = byWealth.firstIndex { $0.name == name } ?? 0
        let target = share + (rank < rest ? 1 : 0)
        let owned = members.reduce(into: Set<Int>()) { $0.formUnion($1.owned) }
        let free = (0..<partitions).filter { !owned.contains($0) }
        var plan = Plan(free: Set(free))
        guard own.owned.count <= target else {
            let inTurn = givable ?? own.owned.sorted().reversed()
            plan.give = inTurn.filter(own.owned.contains).prefix(own.owned.count - target).sorted()
            return plan
        }
        plan.isWaiting = own.owned.count < target
        // Everybody begins elsewhere, so that several that come at once do not all ask for the same one.
        let offset = free.isEmpty ? 0 : rank * (share + 1) % free.count
        let inTurn = Array(free[offset...] + free[..<offset])
        let due = inTurn.prefix(target - own.owned.count)
        plan.take = due + inTurn.dropFirst(due.count).filter(abandoned.contains)
        return plan
    }
}
