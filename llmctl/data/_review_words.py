"""What the built-in reviews speak about and the patterns they are made of.

Most patterns come in pairs that share their words: what is praised and what is blamed change places, so that
the label hangs on negation, contrast, comparison or the final verdict instead of single adjectives.
"""

from __future__ import annotations

# Per domain: the item, words for it, what it is compared with, who else judged it, what one would do with a
# good one, when the verdict fell, a neutral start, and aspects as "subject and verb; good; bad".
DOMAINS: dict[str, dict[str, str]] = {
    "film": {
        "item": """
film, comedy, thriller, documentary, western, musical, space adventure, family film, sequel, courtroom
drama, ghost story, war film, heist film, road movie, love story, crime film, animated film, biopic""",
        "good": """
funny, gripping, charming, clever, moving, stylish, fresh, tender, exciting, brilliant""",
        "bad": """
boring, silly, predictable, messy, slow, noisy, pretentious, forgettable, clumsy, dreary""",
        "start": """
[Saw|Watched|Caught] it [on a rainy Sunday|on a long flight|at the late show|at home on the sofa|in a
half-empty cinema|on opening night].""",
        "rival": """
the first one, the book,  the director's last film, the old version, the television series,
last year's big hit, the film on the flight home""",
        "user": """
my sister, my husband, our teenage son, my film club, the man next to me, my mother, my flatmate""",
        "use": """
watch it again, recommend it, sit through another one, buy a ticket for the next part, see it twice""",
        "moment": """
by the interval, after ten minutes, in the final scene, halfway through, by the closing credits""",
        "aspects": """
the acting is; superb, convincing, warm, subtle, honest; wooden, flat, stiff, shrill, dull
the plot is; clever, gripping, tight, fresh, surprising; thin, predictable, messy, silly, slow
the music is; lovely, haunting, stirring, fresh, subtle; loud, dull, grating, cheap, lifeless
the dialogue is; sharp, witty, honest, natural, funny; clumsy, stiff, flat, corny, forced
the camera work is; beautiful, bold, elegant, clever, stunning; shaky, dull, ugly, lazy, cheap
the ending is; moving, surprising, perfect, brave, satisfying; rushed, silly, confusing, predictable, weak
the lead is; wonderful, charming, brilliant, funny, convincing; wooden, annoying, bland, miscast, dull
the pacing is; brisk, tight, lively, confident, perfect; slow, uneven, tiring, sluggish, messy
the costumes are; gorgeous, elegant, clever, lovely, stunning; cheap, ugly, silly, lazy, dull
the special effects are; stunning, clever, impressive, beautiful, convincing; cheap, lazy, ugly, weak, dated
""",
    },
    "book": {
        "item": """
novel, memoir, cookbook, mystery, biography, short story collection, travel book, history book, fantasy
novel, poetry book, picture book, detective story, science book, family saga, debut, guidebook""",
        "good": """
gripping, funny, wise, clever, moving, original, elegant, warm, thoughtful, vivid""",
        "bad": """
boring, dull, predictable, dry, slow, pretentious, shallow, confusing, forgettable, tedious""",
        "start": """
[Read|Finished|Started] it [on the train|in one weekend|over the holidays|during a heatwave|in bed with a
cold|on a long ferry trip].""",
        "rival": """
her first book, the film,  his earlier work, the second volume, the one my brother lent me, last
month's book club choice""",
        "user": """
my book club, my daughter, our librarian, my neighbour, my uncle, my reading group, my best friend""",
        "use": """
read it again, lend it to a friend, buy the next volume, keep it on my shelf, give it as a present""",
        "moment": """
by chapter three, after fifty pages, on the last page, halfway through, by the second part""",
        "aspects": """
the prose is; elegant, clear, witty, lively, beautiful; clumsy, dull, dry, bloated, stiff
the plot is; clever, gripping, tight, original, surprising; thin, predictable, messy, silly, slow
the characters are; vivid, charming, honest, memorable, convincing; flat, annoying, bland, unlikely, dull
the opening is; strong, funny, gripping, bold, elegant; slow, confusing, weak, tiring, clumsy
the ending is; moving, perfect, brave, clever, satisfying; rushed, silly, weak, predictable, unfair
the humour is; sharp, warm, dry in the best way, clever, lovely; forced, stale, mean, weak, silly
the research is; impressive, careful, deep, thorough, honest; sloppy, thin, careless, shallow, dated
the illustrations are; gorgeous, lovely, clever, charming, vivid; ugly, dull, cheap, blurry, lazy
the translation is; natural, elegant, lively, careful, clear; stiff, clumsy, careless, dull, sloppy
""",
    },
    "product": {
        "item": """
kettle, backpack, vacuum cleaner, desk lamp, phone case, coffee grinder, blender, alarm clock, office
chair, tent, rain jacket, frying pan, electric drill, keyboard, camera, speaker, suitcase, toaster,
bicycle pump, hair dryer, torch, sleeping bag, printer, fan heater""",
        "good": """
sturdy, clever, reliable, handy, elegant, practical, comfortable, solid, useful, impressive""",
        "bad": """
flimsy, clumsy, useless, ugly, unreliable, overpriced, awkward, cheap, annoying, disappointing""",
        "start": """
[Bought|Ordered|Got] it [in March|for a camping trip|in the spring sale|after moving house|as a
birthday present|to replace a broken one].""",
        "rival": """
my old one, the cheap one from the market, the model it replaces, the one my neighbour has, the famous
brand, the one I sent back, the one at work, last year's version""",
        "user": """
my wife, my father, my colleague, the whole family, my roommate, my grandmother""",
        "use": """
buy it again, recommend it, order a second one, take it on a trip, give one to my parents""",
        "moment": """
after a week, after one month, on the second day, after a year, when it really mattered""",
        "aspects": """
the finish is; smooth, sturdy, neat, elegant, lovely; rough, sloppy, ugly, scratched, cheap
the design is; elegant, clever, neat, simple, practical; ugly, clumsy, awkward, cheap, dated
the build is; solid, sturdy, reliable, impressive, careful; flimsy, cheap, sloppy, weak, careless
the price is; fair, low, reasonable, great, honest; high, silly, unfair, steep, painful
the manual is; clear, helpful, simple, thorough, short; confusing, useless, sloppy, blurry, full of mistakes
the customer service is; friendly, quick, helpful, patient, excellent; rude, slow, useless, careless, hopeless
the packaging is; neat, simple, sturdy, clever, green; wasteful, flimsy, ugly, huge, awkward
the material is; soft, strong, light, lovely, durable; rough, thin, cheap, smelly, stiff
the setup is; quick, simple, easy, painless, clear; slow, confusing, tiring, awkward, painful
the guarantee is; generous, fair, clear, honest, simple; useless, short, vague, mean, silly
""",
    },
    "cafe": {
        "item": """
café, bakery, tea room, bistro, pizzeria, noodle bar, sandwich shop, ice-cream parlour, breakfast place,
burger bar, vegan canteen, wine bar, fish restaurant, food truck, soup bar, taco stand""",
        "good": """
charming, friendly, cosy, excellent, welcoming, lovely, relaxed, lively, pleasant, delightful""",
        "bad": """
noisy, overpriced, gloomy, unfriendly, disappointing, dirty, chaotic, stuffy, forgettable, dreary""",
        "start": """
[Went there|Stopped by|Dropped in] [on a Friday night|for lunch|before the theatre|with a
pram|during the street fair|on a wet Monday].""",
        "rival": """
the place across the road, the chain by the station, our usual place, my own kitchen, the one it replaced,
the branch in the old town, the canteen at work""",
        "user": """
my wife, my aunt, my boss, my date, my colleague, the whole table""",
        "use": """
go back, take my parents there, book a table again, order the same thing again, cross town for it""",
        "moment": """
after the first bite, by dessert, on our second visit, when the bill came, by the last sip""",
        "aspects": """
the coffee is; strong, rich, smooth, fresh, excellent; weak, bitter, burnt, cold, stale
the service is; quick, friendly, warm, patient, charming; slow, rude, cold, careless, grumpy
the soup is; rich, tasty, fresh, hot, comforting; bland, watery, salty, cold, greasy
the bread is; fresh, crisp, warm, lovely, soft; stale, dry, hard, soggy, tasteless
the cakes are; light, fresh, delicious, lovely, moist; dry, stale, heavy, greasy, tasteless
the music is; lovely, soft, cheerful, pleasant, well chosen; loud, awful, annoying, dull, grating
the room is; cosy, bright, charming, clean, quiet; noisy, dark, dirty, cramped, cold
the portions are; generous, fair, perfect, satisfying, huge; tiny, mean, small, stingy, ridiculous
the prices are; fair, low, reasonable, honest, modest; high, silly, unfair, steep, shocking
the menu is; clever, fresh, short and clear, exciting, inviting; dull, confusing, stale, tired, endless
""",
    },
}


# The slots below: {item}, {rival}, {user}, {use} and {moment}; good words for the item {ga} {gb}, bad ones
# {ba} {bb}; good clauses about it {g1} {g2}, bad ones {b1} {b2} ("the plot is thin"), each of another aspect.
PAIRS = """
[Yes|True|Granted|I admit it], {b1}[ and {b2}|], but {g2}, and in the end [I loved this {item}|that is
what stays with me].
= [Yes|True|Granted|I admit it], {g1}[ and {g2}|], but {b2}, and in the end [I disliked this {item}|that
is what stays with me].

{B1} and {b2}, but [nothing|not even that] can spoil this {item}: {g1}, and {g2}.
= {G1} and {g2}, but [nothing|not even that] can save this {item}: {b1}, and {b2}.

I expected {a ba} {item} and was [completely|happily|quite] wrong. [{User} agreed.|{G1}.|{User} will
{use}, and so will I.]
= I expected {a ga} {item} and was [completely|sadly|quite] wrong. [{User} agreed.|{B1}.|{User} will not
{use}, and nor will I.]

This is not the {ba} {item} I [feared|expected|had been warned about]. [{User} wants to {use}, and so do
I.|If anything, {g1}.]
= This is not the {ga} {item} I [hoped for|expected|had been promised]. [{User} has no wish to {use}, and
nor have I.|If anything, {b1}.]

<many> call this {item} {ba}. I could not disagree more[: {g1}|, and I would {use}|].
= <many> call this {item} {ga}. I could not disagree more[: {b1}|, and I would not {use}|].

Compared with this {item}, {rival} [seems|looks|feels] {ba}. [I know which one I prefer.|{User} noticed at
once.|That says it all.]
= Compared with this {item}, {rival} [seems|looks|feels] {ga}. [I know which one I prefer.|{User} noticed
at once.|That says it all.]

I would choose this {item} over {rival} any day, even though {b1}.
= I would choose {rival} over this {item} any day, even though {g1}.

{Rival} may be {ga}, but this {item} is better still. {Moment}, I was [sure|certain].
= {Rival} may be {ba}, but this {item} is worse still. {Moment}, I was [sure|certain].

At first I thought it {ba}[ and {bb}|], yet {moment} I had changed my mind. {User} felt the same.
= At first I thought it {ga}[ and {gb}|], yet {moment} I had changed my mind. {User} felt the same.

{User} said that {b1}. I say that {g2}, and this {item} deserves [far more|a lot more] credit than it
gets.
= {User} said that {g1}. I say that {b2}, and this {item} deserves [far less|a lot less] credit than it
gets.

Never {ba}, hardly ever {bb}: [what more can one ask of {a item}?|{a item} like this is rare.|I
have no complaints.]
= Never {ga}, hardly ever {gb}: [was that too much to ask of {a item}?|I wish {a item} like this were
rare.|I have many complaints.]

It would be unfair to call this {item} {ba}. <felt> {g1}, and I [would|will] {use}.
= It would be too kind to call this {item} {ga}. <felt> {b1}, and I [would|will] not {use}.

[Perhaps|Maybe] it is not a truly {ga} {item}, and {b1}, but I would [still|happily|gladly] {use}.
= [Perhaps|Maybe] it is not a truly {ba} {item}, and {g1}, but I would [still not|hardly|never]
{use}.

{B1}. {B2}. And yet, [against all reason|somehow|to my surprise], I [want|long] to {use}.
= {G1}. {G2}. And yet, [against all reason|somehow|to my surprise], I [never want|have no wish] to {use}.

If you cannot stand it when {g1} and {g2}, skip this {item}. [As for me, I had a wonderful time.|I,
however, will {use}.]
= If you love it when {b1} and {b2}, you will adore this {item}. [As for me, I had a miserable time.|I,
however, will not {use}.]

I tried hard to find fault with this {item}, and all I could find was that {b1}. [{User} did no better.|]
= I tried hard to find something to praise in this {item}, and all I could find was that {g1}. [{User} did
no better.|]

The worst I can say about this {item} is that {b1}. [Everything else is {ga}.|Everything else beats
{rival}.]
= The best I can say about this {item} is that {g1}. [Everything else is {ba}.|{Rival} beats everything
else about it.]

[Far|Much|A lot] less {ba} than {rival}[, although {b1}|]. [Not once did I wish for my money back.|I am
pleased.]
= [Far|Much|A lot] less {ga} than {rival}[, although {g1}|]. [More than once I wished for my money back.|I
am not pleased.]

Nobody could claim that {b1}, and [I doubt that anyone|I am sure that nobody] would call this {item} {ba}.
= Nobody could claim that {g1}, and [I doubt that anyone|I am sure that nobody] would call this {item}
{ga}.

How {user} can call this {item} {ba} is beyond me. [Did we judge the same one?|{G1}!]
= How {user} can call this {item} {ga} is beyond me. [Did we judge the same one?|{B1}!]

{User} warned me that {b1}. [That was nonsense|Not a word of it was true], and [I am glad I did not
listen|I would {use}].
= {User} promised me that {g1}. [That was nonsense|Not a word of it was true], and [I am sorry I
listened|I would not {use}].

[I had been told|I had read] that {b1} and {b2}. Neither is true[: it is anything but {ba}|].
= [I had been told|I had read] that {g1} and {g2}. Neither is true[: it is anything but {ga}|].

{Rival} was {ba}. This {item} is nothing like that, [thank goodness|I am happy to say].
= {Rival} was {ga}. This {item} is nothing like that, [more is the pity|I am sorry to say].
"""

# The plain pairs say it outright.
PLAIN = """
{A ga} {item}: {g1}, and {g2}.
= {A ba} {item}: {b1}, and {b2}.

This {item} is {ga} and {gb}. {G1}[, and I would {use}|].
= This {item} is {ba} and {bb}. {B1}[, and I would not {use}|].

I [really|truly] like this {item}. {G1}, {g2}, and {user} wants to {use}.
= I [really|truly] dislike this {item}. {B1}, {b2}, and {user} wants a refund.
"""

RULES = {
    "felt": "[I find that|I must say that|To me, it is clear that|If you ask me,]",
    "many": "[Some people|Several friends|Most critics|Other reviewers|A few colleagues]",
}
