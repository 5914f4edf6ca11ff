namespace Peft

/// A rule of the paper.
[<NoComparison; NoEquality>]
type Rule =
    {
        Source: string
        Statement: string
        /// The names of the techniques it recommends; none where it is advice on how to use one.
        Techniques: string list
        /// The claim that the paper's own figures were held against.
        Claim: string
        Applies: Question -> bool
    }

/// The paper's decision framework.
[<RequireQualifiedAccess>]
module Rule =
    let private rule source statement techniques claim applies : Rule =
        {
            Source = source
            Statement = statement
            Techniques = techniques
            Claim = claim
            Applies = applies
        }

    let private whenever priority levels (question: Question) =
        question.Priority = priority && List.contains (Question.level question) levels

    /// Every rule of §3.2 and §3.3.
    let all: Rule list =
        let peft = [ "paper-ia3"; "paper-lora"; "bitfit"; "prompt" ]
        let always (_: Question) = true

        [
            rule
                "§3.2"
                "Time is short, low or medium data: full fine-tuning."
                [ "full" ]
                "time-low-medium"
                (whenever Priority.Time [ Low; Medium ])
            rule "§3.2" "Time is short, high data: a PEFT technique." peft "time-high" (whenever Priority.Time [ High ])
            rule
                "§3.2"
                "Memory is short, low data: BitFit or (IA)3."
                [ "bitfit"; "paper-ia3" ]
                "memory-low"
                (whenever Priority.Memory [ Low ])
            rule
                "§3.2"
                "Memory is short, medium or high data: (IA)3."
                [ "paper-ia3" ]
                "memory-medium-high"
                (whenever Priority.Memory [ Medium; High ])
            rule
                "§3.2"
                "Quality first, low or medium data: (IA)3, LoRA or BitFit."
                [ "paper-ia3"; "paper-lora"; "bitfit" ]
                "quality-low-medium"
                (whenever Priority.Quality [ Low; Medium ])
            rule
                "§3.2"
                "Quality first, high data: full fine-tuning."
                [ "full" ]
                "quality-high"
                (whenever Priority.Quality [ High ])
            rule
                "§3.2"
                "Very few rows: prompting or in-context learning may do, without any training."
                []
                "few-rows"
                (fun question -> question.Rows < Level.rows Low)
            rule
                "§3.3"
                "With LoRA or (IA)3, about half of the parameters can go: adapt later layers, not early ones."
                []
                "half-is-enough"
                always
            rule
                "§3.3"
                "(IA)3 does better in later or random layers than in early ones."
                []
                "ia3-later-not-early"
                always
            rule
                "§3.3"
                "On classification, keep LoRA in self-attention before query/output and encoder-decoder attention."
                []
                "self-attention-on-classification"
                (fun question -> question.Kind = TaskKind.Classification)
        ]
