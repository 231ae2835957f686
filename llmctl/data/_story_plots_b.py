"""Story plots, second part; see the first for the form."""

from __future__ import annotations

from llmctl.data._story_plots_a import Plot

GARDEN = Plot(
    (
        (
            "keyplace gardener flower centre wish",
            """
inside an old teapot; a retired sailor; blue poppies; a stone ship; grow something that would never sail
away

under a loose brick; a lonely princess; white roses; a marble bench; have somebody to talk to

in a robin's nest; a forgetful wizard; singing lilies; a silver sundial; remember one lovely thing

at the bottom of a rusty watering can; {elder}'s own grandmother; sweet peas; a wooden swing; leave a
present for somebody not yet born

in the pocket of a scarecrow; a kind old postman; giant sunflowers; a beehive shaped like a castle; send
letters made of petals

behind a loose tile; a baker who loved bees; lavender and thyme; a round well; make the wind smell sweet

in the knot hole of an elm; a clockmaker; evening primroses; a fountain with stone fish; watch something
that did not tick
""",
        ),
        (
            "job creature",
            """
pulled up the weeds; a pair of blackbirds

carried water in a leaky bucket; a hundred orange butterflies

trimmed the wild hedges; a family of wrens

raked away the dead leaves; two shy hedgehogs

planted one seed in every gap; a cloud of bees

swept the winding paths; a very old tortoise
""",
        ),
    ),
    """
<open>

<day>, near {s1}, {hero} found a [rusty|tiny|heavy|golden] key {keyplace}. [It did not fit any lock at
home.|{He} tried seven doors, but it would not turn.]

Then, behind a curtain of ivy near {s2}, {he} saw a little [green|crooked|wooden] door. The key turned
with a [click|squeak|long groan]. Inside was a garden, but [everything was dry and brown|the weeds were as
high as {his} chin|nothing had bloomed there for years]. In the middle stood {centre}, and on it somebody
had carved: "[Look after me|Please wake me up|Love me, and I will bloom]."

{Hero} told only {friend}. [Every day|Day after day|Each afternoon], they {job}. "[Nothing is happening|My
back hurts and nothing grows]," {friend} sighed. "[Give it time|Gardens are slow, but they are not lazy],"
said {hero}. Then, one morning, there was a single green shoot. A week later there were {flower}
everywhere, and {creature} came to live among them.

At last they showed {elder}, who [gasped|sat down in surprise]. "That garden was made by {gardener},"
{ehe} said, "who wished to {wish}." So {hero} [hung the key on a hook, where anyone could take it|propped
the door wide open]. Now [all {crowd} come|everybody comes] to sit there, and the garden is not secret any
more. It is something better.
""",
)

CONTEST = Plot(
    (
        (
            "contest make plan disaster idea verdict prize",
            """
cake contest; cake; a cake with three tall layers; the top layer slid off and landed on the floor; filled
a glass bowl with the pieces, some berries and a river of cream; I have never eaten a cake with a spoon
before, and I never want to stop; a golden whisk

kite contest; kite; a kite like a dragon; a puff of wind ripped it right down the middle; tied the two
halves together with ribbon, and the kite became a butterfly; It does not just fly. It flutters; a reel of
silver string

pumpkin contest; pumpkin; the biggest pumpkin of all; a slug ate a hole in one side; carved a smiling face
around the hole and set a candle inside; This pumpkin is not the biggest, but it is the only one that
smiled at me; a packet of magic seeds

painting contest; painting; a picture of {s1} at sunrise; somebody's kitten walked across it with wet
paws; turned every paw print into a flower; What a lively meadow, and how clever to paint with four
brushes at once; a box of forty colours

sandcastle contest; sandcastle; a castle with nine towers; a wave washed eight of the towers away; dug a
winding moat and made the last tower a lighthouse; All the others are castles. This one tells a story; a
red bucket with a star on it

hat contest; hat; a tall hat of folded paper; the rain turned it into a soggy lump; pressed the lump into
a bowl, and planted it with moss and daisies; At last, a hat that you can water; a fine peacock feather

soup contest; soup; a smooth carrot soup; a whole jar of pepper fell in; added apples, cream and honey
until it was warm instead of hot; It tickles, then it hugs; a copper ladle

snowman contest; snowman; a snowman taller than {elder}; the head rolled off and would not stay on; sat
the snowman down and gave him his own head to hold like a ball; He is the first snowman who knows how to
relax; a set of warm mittens

song contest; song; a song with ten verses; {his} throat went dry and every word flew out of {his} head;
began to clap and hum, and soon the crowd was singing along; We came to hear one voice, and we heard a
hundred; a little wooden flute

jam contest; jam; a strawberry jam as red as sunset; the strawberries were all eaten by snails; picked
rose hips and crab apples from the hedge instead; It tastes like a walk in autumn; a silver jam spoon
""",
        ),
        (
            "rival_say rival_end",
            """
Mine will be perfect; asked {hero} how it was done

I win every year; clapped louder than anyone

You should not even bother; said "sorry" in a very small voice

Look at the shine on mine; admitted that perfect things can be a bit dull
""",
        ),
    ),
    """
<open> [Each|Every|Once a] year, {crowd} held {a contest} beside {s1}, and this time {hero} entered it.
{He} planned {plan}.

["{Rival_say}," said {other}, {a okind} from over by {s2}.|At the next table stood {other}, {a okind}.
"{Rival_say}," said {other}.] {Hero} tried not to listen. But on the big day, the worst thing happened:
{disaster}! ["<oh>!" cried {hero}.|There was a terrible silence.|] "[It is ruined|There is no time left],"
whispered {friend}.

<stuck> "[Wait|Hold on]," said {hero}, "I have an idea." [As quick as a flash|Without wasting a
moment|With a hop and a skip], {he} {idea}. Just then the judge, {ahelper}, came along and looked at the
{make} [for a long, long time|from the left and then from the right]. "{Verdict}," said the {helper}.

And [first prize|the prize], {prize}, went to {hero}! {Other} {rival_end}. ["It went wrong, and then it
went right," said {hero}.|"You did not give up," said {elder}. "That is the real prize."|"Sometimes," said
{elder}, "a mistake is just a good idea in a funny hat."] <night>
""",
)

DARK = Plot(
    (
        (
            "noise shadow who need gift",
            """
scratch, scratch; a long hand with crooked fingers; a baby bat; who had flown in and could not find the
window; Each night the bat swooped past to say good evening

hoo, hoo; a huge round head; a little owl; who was practising to hoot and thought nobody could hear; Now
the owl hoots "sleep well" from the branch outside

click, click; a monster with eight legs; a dancing spider; who wore tiny wooden shoes and had no stage;
Now the spider dances on the window sill, where the moon can see

sniff, snuffle; a hunched back with spikes; a hungry hedgehog; who had smelled the crumbs of a cheese
sandwich; Now there is always a saucer of crumbs by the door

plip, plop; a thin, wriggly ghost; a drippy water sprite; who was stuck under the tap and homesick for the
river; Now the sprite sends cool dewdrops every morning

rustle, rustle; a wolf with pointed ears; a runaway kitten; who was cold and wanted a lap; Now the kitten
sleeps on {his} feet and purrs all the scary noises away

thump, bump; a giant in big boots; a clumsy moth; who kept flying into the lamp because she was in love
with it; Now the moth has a candle of her own on the shelf

creak, crick; a witch with a pointed hat; a shy house elf; who came out to tidy up when everyone was
asleep; Now there are never any odd socks in the drawer

whirr, whirr; a creature with enormous wings; a lost firefly; who had let her light go out and was afraid
too; Now the firefly glows softly by the bed like a tiny star
""",
        ),
        (
            "aid use",
            """
{elder} had given {him} a small brass lamp; lit the little lamp

{friend} had given {him} a lucky pebble; squeezed the lucky pebble

{elder} had taught {him} a song against fear; sang the song under {his} breath

{friend} had told {him} to count to ten when {he} was afraid; counted slowly to ten

{elder} had given {him} a soft toy elephant for courage; tucked the elephant under one arm
""",
        ),
    ),
    """
<open> {Hero} was not afraid of [thunder|heights|geese] or [cold water|big dogs|spinach]. But {he} was
afraid of the dark.

One night, [when the moon was hidden|when the candle was out|long after bedtime], {he} heard a noise.
{Noise}! On the wall {he} saw {shadow}. {Hero} pulled the blanket up to {his} nose. But {aid}. {Hero}
{use} and felt a tiny bit better. <stuck>

"[Perhaps it is more scared than I am|I would rather know than wonder]," thought {hero}. [On tiptoe|Step
by step|With shaking knees], {he} crept across the floor and looked behind the [curtain|cupboard|big
chair|basket]. There was no monster at all. It was only {who}, {need}! "You gave me a fright," said
{hero}. "You gave me one too," said a small voice. [They both began to laugh.|They looked at each other
and giggled.] Then {hero} helped, as a friend should.

[In the morning, {he} told {friend} everything. "Were you not afraid?" asked {friend}. "I was," said
{hero}, "but I looked anyway."|{Gift}.|{Gift}.|{Gift}.] And {hero}? {He} does not mind the dark any more.
[After all, it is only the day with its eyes shut.|You never know what friend may be in it.|It is just the
place where shadows go to bed.]
""",
)

GIFT = Plot(
    (
        (
            "have made need moment",
            """
a broken comb, some thread and eleven seashells; a string of shells that clinked in the breeze; always
wondered which way the wind blew; The breeze came in, and the shells began to sing

a jar, a cork and a pinch of glitter; a little snowstorm in a jar; missed the snow of long ago; {Elder}
shook the jar, and snow fell on a tiny paper house

a flat stone and a stub of charcoal; a smooth stone with a smiling face; talked to {ehis} plants because
it was so quiet; {Elder} put the stone beside the plants, and it seemed to smile back

two sticks and a tangle of wool; a pair of very wobbly slippers; had cold feet every evening; {Elder} put
them on, and ten cold toes began to wiggle

some old calendars and a pot of glue; a book of stories about {s1}, in very big letters; had lost {ehis}
glasses and could not read any more; {Elder} read the first page out loud, and then all the others

a tin can and a handful of nails; a lantern with holes like stars; could not go out to see the night sky;
{Elder} lit a candle inside, and stars danced on the ceiling

a cracked cup and one green seed; a plant pot with a tiny bud; believed that nothing grew in winter; As
{elder} held the cup, the bud opened, and it was bright yellow

a paper bag and some dried lavender; a pillow no bigger than a hand; slept badly; {Elder} sniffed it once,
smiled, and was snoring by half past eight

a worn-out coat and six buttons; a stuffed rabbit with one long ear; had never had a toy when {ehe} was
small; {Elder} held it close and would not put it down, even for cake

a walnut shell and a candle end; a boat that carried a flame; used to be a sailor and missed the harbour
lights; The tiny boat crossed the washing bowl, and its light shone in {ehis} eyes
""",
        ),
        (
            "rich shop",
            """
a silver clock as tall as a door; the price was a hundred coins

a velvet chair with golden feet; it cost more than a cow

a box of chocolates as big as a suitcase; the shopkeeper wanted twenty coins

a hat with three ostrich feathers; it cost more than a new roof

a painted globe that played music; the price tag had far too many noughts
""",
        ),
    ),
    """
<open> {Elder}'s birthday was coming, and {hero} wanted to give {ehim} [the best present in the
world|something special|a splendid present].

In the shop near {s1} there was {rich}. But {shop}, and {hero} had only [two pennies and a button|one
small coin|a hole in {his} pocket]. ["Have you found anything yet?" asked {friend}. {Hero} [shook {his}
head|looked at the ground|shrugged sadly].||]

"What does {elder} really need?" {he} asked {ahelper}. "[Listen|Watch carefully] and you will find out,"
said the {helper}. So {hero} watched all day, and {he} noticed that {elder} {need}. [Now {he} knew!|That
was it!|] {He} ran home, where {he} had {have}. [{He} cut and tied and glued.|It took three tries and one
sore thumb.|] At last it was finished: {made}.

At the party, {hero}'s present was the smallest, and it was wrapped in [a cabbage leaf|old newspaper|a
clean handkerchief]. {Elder} opened it, and the whole room went quiet. {Moment}.

"[You gave me your time|You noticed what I needed]," said {elder}[, and {ehe} gave {hero} a
[long|warm|tight] hug|]. ["Nobody can buy that in a shop."|There was plenty of cake for everyone as
well.|] <night>
""",
)

UNLIKELY = Plot(
    (
        (
            "beast fear sign problem cure thanks",
            """
giant; eats houses for lunch; the hills shook; I have a splinter in my toe as long as a broom; tied a rope
around the splinter and tugged it out; lifted a fallen tree off the road, which nobody else could move

dragon; burns everything it sees; smoke rose from the rocks; I have the hiccups, and each one sets
something on fire; told the dragon to drink backwards from a bucket; warmed the whole valley when the
frost came

bear; has teeth like knives; a groan rolled down the slope; one of those teeth hurts so much that I cannot
eat; tied the bad tooth to a door and slammed it; showed {hero} the best blackberries in the land

wolf; howls because it is hungry; a howl rose at sunset; I only howl because I do not know any other song;
taught the wolf three cheerful tunes; sang at every party, in a lovely deep voice

troll; hates all visitors; stones rattled under the bridge; nobody ever waits for me to finish a sentence,
because I speak so slowly; sat down and listened until the last word; let everyone cross the bridge for
nothing, and painted it blue

whale; swallows ships like peanuts; a spout of water shot up from the deep; a bottle has been stuck on my
nose since Tuesday; pulled at the bottle until it popped off; carried {hero} all around the bay

ogre; grinds rocks between its fingers; boulders tumbled down; my glasses are broken, so I keep walking
into mountains; mended the glasses with string and glue; carved a snug stone seat for all {crowd}

sea serpent; ties boats into knots; waves rose for no reason; I have tied myself in a knot, and I cannot
undo it; found the end and worked the knot loose, loop by loop; gave swimming lessons in the shallow end

lion; roars at anybody who passes; a roar made the leaves tremble; there is a burr in my mane, right where
I cannot reach; combed out every burr with a pine cone; roared every evening to tell the little ones that
it was bedtime
""",
        ),
    ),
    """
<open>

Not far away lived {a beast}, and [all {crowd} were afraid of it|nobody went near it|everyone locked the
door at night]. "The {beast} {fear}," said {elder}. ["Have you seen it?" asked {hero}. "Well, no," said
{elder}, "but everybody says so."||]

<day>, {sign}. [{Crowd} ran and hid.|"Run!" shouted {friend}.|{Friend} hid behind {hero}.] {Hero} wanted
to run too, but then {he} heard something strange: the {beast} was crying. <stuck> {He} walked right up
and asked, "What is the matter?"

"Nobody has ever asked me that," said the {beast}. "The trouble is that {problem}." "[Let me help|I think
I can help]," said {hero}. So {hero} {cure}. [It took all afternoon.|{Friend} peeped out and came to lend
a hand.|] "Oh, [that is better|what a relief]!" said the {beast}, and smiled a [huge|shy|crooked] smile.

{Crowd} were nervous at first. But the {beast} {thanks}, and [by and by|little by little|before long] they
all forgot to be afraid. ["Big does not mean bad," said {elder}.|"You cannot know somebody until you say
hello," said {hero}.|{Hero} and the {beast} are still friends today, one very large and one very small.]
""",
)

PLOTS_B = {
    "garden": GARDEN,
    "contest": CONTEST,
    "dark": DARK,
    "gift": GIFT,
    "unlikely": UNLIKELY,
}
