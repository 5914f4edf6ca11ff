namespace Peft.Synthetic

/// The turns that matter, `A: …` and `B: …` (`?` marks one that may be left out), and the summaries that fit.
type Scene =
    {
        Turns: string list
        Summaries: string[]
    }

/// The scenes of the dialogues.
[<RequireQualifiedAccess>]
module Scenes =
    /// One scene a paragraph: turns, then summaries after `=`.
    let all: Lazy<Scene[]> =
        lazy
            ("""A: Do you want to {plan=outing} on {day}?
B: {yes} What time?
A: How about {clock}?
?B: {fine}
= {A} and {B} will {plan} on {day} at {clock}.
= {A} and {B} are going to {plan} at {clock} on {day}.

A: Shall we {plan=outing} on {day}?
B: {no} I have to {duty}.
?A: {pity}
= {B} can't {plan} with {A} on {day} because {B.she} has to {duty}.
= {B} has to {duty} on {day}, so {B.she} won't {plan} with {A}.

A: {listen} We said {day}, but I have to {duty} then.
B: {noworry} Is {day2=day} better?
A: {yes} Let's {plan=outing} on {day2} then.
= {A} and {B} will {plan} on {day2} instead of {day}.
= {A} has to {duty} on {day}, so {A.she} and {B} will {plan} on {day2}.

A: Can you {favour}?
B: {sure} When do you need me?
A: On {day}, around {clock}.
?B: {fine}
= {B} will {favour:help} on {day} around {clock}.

A: {please} Could I borrow your {object=loan}?
B: {sure} But I need it back by {day}.
?A: {thanks}
= {B} will lend {A} {B.hers} {object} until {day}.
= {A} will borrow {B}'s {object} and return it by {day}.

A: {please} Could I borrow your {object=loan}?
B: {no} I lent it to my {relative}.
?A: {pity}
= {A} can't borrow {B}'s {object} because {B} lent it to {B.hers} {relative}.
= {B} can't lend {A} the {object}, as {B.she} has lent it to {B.hers} {relative}.

A: I can't find my {object=thing}. Have you seen it?
B: {think} You left it at the {venue}.
A: {thanks} I'll go and look there.
= {A} is looking for {A.hers} {object}, which may be at the {venue}.
= {A} can't find {A.hers} {object}. {B} thinks it is at the {venue}.

A: {guess} I found a(n) {colour} {object=thing} at the {venue}.
B: That's mine! I lost it on {day}.
A: I'll bring it to you {soon}.
= {A} found {B}'s {colour} {object} at the {venue} and will bring it to {B.her} {soon}.
= {A} has found {B}'s {object} and will return it {soon}.

A: {guess} I {goodnews:past}!
B: {congratulations} Let's celebrate.
A: Come round on {day}, I'll make {meal}.
= {A} {goodnews:past}. {B} will visit {A.her} on {day} to celebrate.
= {A} {goodnews:past} and will celebrate with {B} on {day}.

A: {guess} I {badnews:past}.
B: {sorry} Can I help?
A: Could you {helpme}?
B: {sure}
= {A} {badnews:past}, so {B} will {helpme:help}.

A: I'm at the {venue}. Do we need anything?
B: {think} We need {grocery} and {grocery2=grocery}.
A: {okay} Anything else?
B: No, that's all.
= {A} will buy {grocery} and {grocery2} at the {venue}.
= {A} is at the {venue} and will get {grocery} and {grocery2}.

A: What should we give {C} for {C.hers} birthday?
B: How about a(n) {object=gift}?
A: {C.she:cap} already has one. A(n) {object2=gift}?
B: {fine} I'll buy it {soon}.
= {B} will buy a(n) {object2} for {C}'s birthday.
= {A} and {B} will give {C} a(n) {object2} for {C.hers} birthday.

A: Are you coming to {C}'s party on {day}?
B: {no} I have to {duty}.
?A: {C} will miss you.
= {B} won't come to {C}'s party on {day} because {B.she} has to {duty}.
= {B} has to {duty} and will miss {C}'s party on {day}.

A: Are you coming to {C}'s party on {day}?
B: {yes} Should I bring something?
A: Could you bring {grocery}?
B: {fine}
= {B} will bring {grocery} to {C}'s party on {day}.
= {A} asks {B} to bring {grocery} to {C}'s party on {day}.

A: I'm going to be late. {late}.
B: {noworry} How late?
A: About {minutes} minutes.
B: I'll wait at the {venue}.
= {A} will be about {minutes} minutes late.
= {A} will be {minutes} minutes late. {B} will wait for {A.her}.

A: Where are you? I'm waiting at the {venue}.
B: {apology} {late}.
A: How long will it take?
B: Another {minutes} minutes.
= {B} will be {minutes} minutes late to meet {A} at the {venue}.
= {A} is waiting at the {venue}, but {B} will only be there in {minutes} minutes.

A: Can you recommend a(n) {tip=recommended}?
B: {sure} Try the one in {town}. {praise}.
A: {thanks} I'll go there {soon}.
= {B} recommends a(n) {tip} in {town} to {A}.
= {A} will try the {tip} in {town} that {B} recommends.

A: Did you hear about {C}?
B: No, what happened?
A: {C.she:cap} {goodnews:past} last week.
?B: {wow}
= {A} tells {B} that {C} {goodnews:past} last week.
= {C} {goodnews:past} last week.

A: Did you hear about {C}?
B: No, tell me.
A: {C.she:cap} is moving to {town} in {month}.
B: {wow} I'll call {C.her} {soon}.
= {C} is moving to {town} in {month}. {B} will call {C.her}.
= {A} tells {B} that {C} is moving to {town} in {month}.

A: I'm sorry I {fault:past}.
B: {noworry} It can happen to anyone.
A: I'll buy you {treat} {soon}.
= {A} is sorry that {A.she} {fault:past} and will buy {B} {treat}.
= {A} {fault:past}, so {A.she} will buy {B} {treat}.

A: When does the {line} to {town} leave?
B: At {clock}, I think. Why?
A: I'm visiting my {relative} on {day}.
= {A} is taking the {line} to {town} on {day} to visit {A.hers} {relative}.
= {A} will visit {A.hers} {relative} in {town} on {day}. The {line} leaves at {clock}.

A: How was {country}?
B: {great} I spent {few} days there with my {relative}.
A: Did you bring me anything?
B: Yes, a(n) {object=gift}! I'll give it to you on {day}.
= {B} brought {A} a(n) {object} from {country}.
= {B} was in {country} with {B.hers} {relative} and has a(n) {object} for {A}.

A: Which one should I buy, the {colour} {clothing} or the {colour2=colour} one?
B: The {colour2} one. It suits you.
A: {thanks} I'll take it.
= {A} will buy the {colour2} {clothing} on {B}'s advice.
= {B} thinks that {A} should buy the {colour2} {clothing}.

A: Which one should I buy, the {colour} {object=thing} or the {colour2=colour} one?
B: The {colour} one is nicer.
A: But it costs {minutes} pounds more!
B: Then take the {colour2} one.
= {A} will buy the {colour2} {object} because it is cheaper.
= {B} prefers the {colour} {object}, but it is more expensive than the {colour2} one.

A: I want to learn to play the {instrument}.
B: My {relative} gives lessons on {day:s}.
A: How much is a lesson?
B: {minutes:cap} pounds.
= {A} wants to learn the {instrument}, and {B}'s {relative} gives lessons for {minutes} pounds.
= {B}'s {relative} can teach {A} the {instrument} on {day:s}.

A: My {pet} is ill. Do you know a good vet?
B: {think} {C} knows one in {town}.
A: {thanks} I'll ask {C.her} {soon}.
= {A} will ask {C} about a vet in {town} because {A.hers} {pet} is ill.
= {A}'s {pet} is ill, so {A.she} will ask {C} about a vet.

A: Could you look after my {pet} from {day}?
B: {sure} Where are you going?
A: To {town}, for {few} days.
= {B} will look after {A}'s {pet} while {A} is in {town}.
= {A} is going to {town} for {few} days, and {B} will look after {A.hers} {pet}.

A: Could you look after my {pet} on {day}?
B: {no} I have to {duty}. Ask {C}.
A: {fine} I'll call {C.her}.
= {B} can't look after {A}'s {pet}, so {A} will ask {C}.
= {A} will ask {C} to look after {A.hers} {pet} because {B} has to {duty}.

A: Who won the {game} match?
B: {town}, {few} to one. {C} played very well.
?A: {wow}
= {town} won the {game} match, and {C} played well.
= {B} tells {A} that {town} won the {game} match.

A: Do you still have that {object=thing} for sale?
B: {have} {minutes:cap} pounds.
A: I'll take it. Can I come on {day}?
?B: {fine}
= {A} will buy {B}'s {object} for {minutes} pounds and come on {day}.
= {B} is selling {A} a(n) {object} for {minutes} pounds.

A: Do you still have that {object=thing} for sale?
B: {havenot} I sold it to {C} on {day}.
?A: {pity}
= {B} has already sold the {object} to {C}.
= {A} can't buy {B}'s {object} because it has been sold to {C}.

A: Let's {plan=outing} {soon}.
B: I'd rather {plan2=outing}.
A: {fine} Let's meet at {clock}.
= {A} and {B} will {plan2} at {clock}.
= {B} would rather {plan2} than {plan}, and {A} agrees.

A: The {furniture} arrived today, but it is {damaged}.
B: {sorry} Did you call the shop?
A: Yes, they will send a new one on {day}.
= {A}'s new {furniture} is {damaged}, but the shop will replace it on {day}.
= {A} will get a new {furniture} on {day} because the first one is {damaged}.

A: How was the {exam} test?
B: {bad} I have to take it again in {month}.
A: Do you want me to help you study?
B: {doplease}
= {B} failed the {exam} test. {A} will help {B.her} study.
= {A} will help {B} study for the {exam} test, which {B.she} has to take again in {month}."""
                .Split("\n\n")
             |> Array.map (fun paragraph ->
                 let summaries, turns =
                     paragraph.Split '\n'
                     |> List.ofArray
                     |> List.map _.Trim()
                     |> List.partition _.StartsWith("= ")

                 {
                     Turns = turns
                     Summaries = summaries |> List.map _.Substring(2) |> Array.ofList
                 }))

    /// Favours read differently in the summary ("help me move" becomes "help Ann move"): each is a pair.
    let favours: (string * string)[] = WordLists.pairs "scenes-pairs" "favour"

    /// What a friend can do when something went wrong, as it is asked for and as the summary tells it.
    let rescues: (string * string)[] = WordLists.pairs "scenes-pairs" "rescue"
